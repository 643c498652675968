"""Filters of lists that a person has named."""

from dataclasses import dataclass
from typing import Final, Protocol

from services.runtime.stores.mongo import Database, translated

MOST_VIEWS: Final = 50
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


class MongoSavedViews:
    """The collection `saved_views`."""

    def __init__(self, database: Database) -> None:
        self._views = database["saved_views"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._views.create_index([("by", 1), ("name", 1)], unique=True)

    async def of(self, by: str) -> list[SavedView]:
        with translated():
            found = await self._views.find({"by": by}).sort("name", 1).to_list(MOST_VIEWS)
        return [SavedView(item["by"], item["name"], item["query"]) for item in found]

    async def keep(self, view: SavedView) -> bool:
        key = {"by": view.by, "name": view.name}
        with translated():
            others = {"by": view.by, "name": {"$ne": view.name}}
            if await self._views.count_documents(others, limit=MOST_VIEWS) == MOST_VIEWS:
                return False
            await self._views.update_one(key, {"$set": {"query": view.query}}, upsert=True)
        return True

    async def drop(self, by: str, name: str) -> None:
        with translated():
            await self._views.delete_one({"by": by, "name": name})
