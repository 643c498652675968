"""Identifiers name what they hold: no pronouns, no participles of saying, no metaphors."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "services").rglob("*.py"))
REFUSED = frozenset(
    {
        "anew",
        "arrival",
        "bury",
        "came",
        "carrier",
        "deal",
        "dealer",
        "dealt",
        "desk",
        "each",
        "founders",
        "hay",
        "heard",
        "lesson",
        "lessons",
        "lookalikes",
        "offer",
        "outgrown",
        "parcel",
        "pauses",
        "sought",
        "spot",
        "standing",
        "taught",
        "wish",
    }
)
"""CONTRIBUTING.md and docs/glossary.md have the words to use instead."""


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module gives or uses, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                yield node.id, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Attribute():
                yield node.attr, node.lineno
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno


def refused(source: str) -> list[str]:
    """The identifiers that say nothing of what they hold, with their lines."""
    found = identifiers(ast.parse(source))
    return [f"line {line}: {name}" for name, line in found if name.lower().strip("_") in REFUSED]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_identifiers_name_what_they_hold(source: Path) -> None:
    assert not refused(source.read_text())


def test_a_pronoun_as_a_name_is_found_wherever_it_stands() -> None:
    assert refused("def f(each):\n    return _each.hay") == [
        "line 1: each",
        "line 2: hay",
        "line 2: _each",
    ]
