"""Reads a store's records page by page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def pages(
    read: Callable[[str], Awaitable[tuple[Sequence[T], str]]], after: str = ""
) -> AsyncIterator[tuple[Sequence[T], str]]:
    """Each page with the key of its last record, until a read finds none.

    A page may be empty, if none of its records can be read.

    Parameters
    ----------
    read : reads the page after a key, and returns that key if nothing follows
    after : the last key that was read; empty at the beginning
    """
    while True:
        found, last = await read(after)
        if last == after:
            return
        yield found, last
        after = last
