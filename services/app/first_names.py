"""The first of many names, for a line that people read."""

from collections.abc import Sequence


def first_names(names: Sequence[str], most: int) -> str:
    """The first names, separated by commas; an ellipsis stands for the others."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
