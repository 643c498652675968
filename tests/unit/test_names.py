"""Identifiers name what they hold: no pronouns, no participles of saying, no metaphors."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("services", "tests", "benchmarks")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
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
REFUSED_PARTS = frozenset({"each", "ours", "said", "told"})
"""Refused also as part of a name, except in the names of tests, which are sentences."""
REFUSED_PARTS_OF_SERVICES = frozenset({"beside", "given", "meant", "some", "there"})
"""Refused in services as well; tests import Hypothesis's `given`."""
REFUSED_VARIABLES = frozenset({"mine"})
"""A verb in the names of functions, commands and modules; a pronoun in those of variables."""
REFUSED_PARTS_OF_CONSTANTS = frozenset(
    {"fewest", "largest", "least", "longest", "most", "shortest", "smallest"}
)
"""A constant that bounds something begins with MAX or MIN."""


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module gives or uses, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                yield node.id, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.keyword(arg=str(name)):
                yield name, node.value.lineno
            case ast.Attribute():
                yield node.attr, node.lineno
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno


def variables(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name of an argument or a variable that a module gives, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.arg():
                yield node.arg, node.lineno


def constants(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every constant of a module, with its line."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            yield from ((name, line) for name, line in variables(node) if name.isupper())


def is_bound_named_otherwise(name: str) -> bool:
    """Whether a constant bounds something, and does not begin with MAX or MIN."""
    parts = name.lower().strip("_").split("_")
    is_last = not {"max", "min"}.isdisjoint(parts[1:])
    return is_last or not REFUSED_PARTS_OF_CONSTANTS.isdisjoint(parts)


def is_refused(name: str, parts: frozenset[str] = REFUSED_PARTS) -> bool:
    """Whether the identifier, or a part of it, says nothing of what it holds."""
    plain = name.lower().strip("_")
    is_sentence = plain.startswith("test_")
    return plain in REFUSED or (not is_sentence and not parts.isdisjoint(plain.split("_")))


def refused(source: str, parts: frozenset[str] = REFUSED_PARTS) -> list[str]:
    """The identifiers that say nothing of what they hold, with their lines."""
    tree = ast.parse(source)
    found = [(line, name) for name, line in identifiers(tree) if is_refused(name, parts)]
    found += [(line, name) for name, line in variables(tree) if name in REFUSED_VARIABLES]
    found += [(line, name) for name, line in constants(tree) if is_bound_named_otherwise(name)]
    return [f"line {line}: {name}" for line, name in sorted(set(found))]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_identifiers_name_what_they_hold(source: Path) -> None:
    is_service = source.relative_to(ROOT).parts[0] == "services"
    parts = REFUSED_PARTS | REFUSED_PARTS_OF_SERVICES if is_service else REFUSED_PARTS
    assert not refused(source.read_text(), parts)


def test_a_pronoun_as_a_name_is_found_wherever_it_stands() -> None:
    source = "def f(each, is_told=0):\n    mine = _each.hay\n    return g(said_of=mine, saidy=1)"
    assert refused(source) == [
        "line 1: each",
        "line 1: is_told",
        "line 2: _each",
        "line 2: hay",
        "line 2: mine",
        "line 3: said_of",
    ]


def test_services_refuse_more_words_than_tests() -> None:
    source = "def f(given_tags, there):\n    return some"
    assert not refused(source)
    assert refused(source, REFUSED_PARTS | REFUSED_PARTS_OF_SERVICES) == [
        "line 1: given_tags",
        "line 1: there",
        "line 2: some",
    ]


def test_the_name_of_a_test_is_a_sentence_and_to_mine_is_a_verb() -> None:
    assert not refused("def test_each_is_told() -> None: ...\ndef mine(match): ...\nmine(1)")


def test_a_constant_that_bounds_something_begins_with_max_or_min() -> None:
    refused_ones = "MOST_ROWS = 9\n_FEWEST: int = 1\nROWS_MAX, MIN_ROWS = 3, 1"
    assert refused(refused_ones) == ["line 1: MOST_ROWS", "line 2: _FEWEST", "line 3: ROWS_MAX"]
    assert not refused("_MAX_ROWS = 9\ndef f(most_rows): LARGEST = 1\nclass E:\n    MOST = 2")
