"""The console that commands print to."""

import re
import sys

import orjson
from rich.console import Console
from rich.text import Text

_PLAIN_WIDTH = 1_000
"""Wider than any row, so that `grep` and `awk` find one row per line."""


def console(*, stderr: bool = False) -> Console:
    """The console for people: as wide as the terminal; elsewhere, no row of a table is folded.

    It prints text as it is: ids and names of categories may have brackets and colons, which are
    Rich's markup and emoji codes. Text with styles is a `Text`, as from `styled`.
    """
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False)


def styled(markup: str, *values: object) -> Text:
    """Text with styles.

    Parameters
    ----------
    markup : a literal in Rich's markup, with a field of `str.format` for each value
    values : printed as they are; nothing in them is markup
    """
    text = Text.from_markup(markup)
    # Not by Rich's `escape`: it doubles a backslash at the end of a value.
    edges = (edge for field in _FIELD.finditer(text.plain) for edge in field.span())
    parts = list(text.divide(edges))
    fields = zip(parts[1::2], values, strict=True)
    parts[1::2] = [_filled(field, value) for field, value in fields]
    return Text("").join(parts)


_FIELD = re.compile(r"\{[^}]*\}")


def _filled(field: Text, value: object) -> Text:
    style = field.spans[0].style if field.spans else ""
    return Text(field.plain.format(value), style)


def print_stage(stage: str) -> None:
    """Tell on standard error what a long command is doing now."""
    console(stderr=True).print(stage, highlight=False)


def print_json(value: object) -> None:
    """Print a value as JSON on standard output, for other programs."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    print(text)  # noqa: T201  # to be piped
