"""The categories that occur in the stored data, in MongoDB."""

from collections.abc import Collection

from pymongo.asynchronous.collection import AsyncCollection

from services.contracts.identity import Category
from services.runtime.stores.mongo import Database, Document, translated

_ANNOTATED_AS = "categories"


async def matched_categories(matches: AsyncCollection[Document]) -> list[Category]:
    """The categories of the collection `matches`, sorted.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    with translated():
        found = await matches.distinct("categories")
    # Null is the value of matches without a category.
    return sorted(name for name in found if name is not None)


class MongoCategories:
    """Reads categories from the collections `matches` and `frames`."""

    def __init__(self, database: Database) -> None:
        self._matches = database["matches"]
        self._frames = database["frames"]

    async def all(self) -> list[Category]:
        return await matched_categories(self._matches)

    async def known(self, names: Collection[Category]) -> set[Category]:
        with translated():
            where = {"categories": {"$in": [*names]}}
            found = set(names) & set(await self._matches.distinct("categories", where))
        left = set(names) - found
        return found | (await self._annotated_as(left) if left else set())

    async def _annotated_as(self, names: Collection[Category]) -> set[Category]:
        # Rare: only for names that no matched frame has. It scans all frames, once for all names.
        with translated():
            annotated = await self._frames.distinct(
                _ANNOTATED_AS, {_ANNOTATED_AS: {"$in": [*names]}}
            )
        return set(names) & set(annotated)
