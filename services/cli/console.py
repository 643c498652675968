"""The console that commands print to."""

import sys

from rich.console import Console

_PLAIN_WIDTH = 110


def console(*, stderr: bool = False) -> Console:
    """The console for people: as wide as the terminal, or of a fixed width elsewhere."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _PLAIN_WIDTH)
