"""Sequences in parts of a bounded size."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """The items in their order, `size` of them at a time; fewer in the last part."""
    for first in range(0, len(items), size):
        yield items[first : first + size]
