"""Filters of lists that a person has named, in MongoDB."""

from services.annotation.ports.saved_views import MAX_VIEWS, SavedView
from services.runtime.stores.mongo import Database, translated


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
            found = await self._views.find({"by": by}).sort("name", 1).to_list(MAX_VIEWS)
        return [SavedView(item["by"], item["name"], item["query"]) for item in found]

    async def keep(self, view: SavedView) -> bool:
        key = {"by": view.by, "name": view.name}
        with translated():
            others = {"by": view.by, "name": {"$ne": view.name}}
            if await self._views.count_documents(others, limit=MAX_VIEWS) == MAX_VIEWS:
                return False
            await self._views.update_one(key, {"$set": {"query": view.query}}, upsert=True)
        return True

    async def drop(self, by: str, name: str) -> None:
        with translated():
            await self._views.delete_one({"by": by, "name": name})
