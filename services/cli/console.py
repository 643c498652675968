"""The console that commands print to."""

import sys

import orjson
from rich.console import Console

_PLAIN_WIDTH = 1_000
"""Wider than any row, so that `grep` and `awk` find one row per line."""


def console(*, stderr: bool = False) -> Console:
    """The console for people: as wide as the terminal; elsewhere, no row of a table is folded."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _PLAIN_WIDTH)


def print_stage(stage: str) -> None:
    """Tell on standard error what a long command is doing now."""
    console(stderr=True).print(stage, highlight=False)


def print_json(value: object) -> None:
    """Print a value as JSON on standard output, for other programs."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    print(text)  # noqa: T201  # to be piped
