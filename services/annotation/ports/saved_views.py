"""Filters of lists that a person has named, and the protocol of their store."""

from dataclasses import dataclass
from typing import Final, Protocol

MAX_VIEWS: Final = 50
"""Per person: more would not be a short list."""


@dataclass(frozen=True)
class SavedView:
    """A person's name for the query of a list's address."""

    by: str
    name: str
    query: str


class SavedViews(Protocol):
    """Views by person and name."""

    async def of(self, by: str) -> list[SavedView]:
        """A person's views, in the order of their names.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def keep(self, view: SavedView) -> bool:
        """Store a view, in place of one of the same name; False if the person has too many."""
        ...

    async def drop(self, by: str, name: str) -> None:
        """Delete a view, if it is there."""
        ...
