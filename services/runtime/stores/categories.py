"""Which categories the data knows."""

from collections.abc import Collection

from services.contracts.identity import Category
from services.runtime.stores.mongo import Database, translated


class MongoCategories:
    """What the collections `matches` and `frames` say of categories."""

    def __init__(self, database: Database) -> None:
        self._matches = database["matches"]
        self._frames = database["frames"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._matches.create_index("category")

    async def all(self) -> list[Category]:
        """Every category that a detector or an annotator has used on a frame with both, sorted.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        with translated():
            return sorted(await self._matches.distinct("category"))

    async def known(self, names: Collection[Category]) -> set[Category]:
        """Those of the names that any frame's predictions or ground truth have used."""
        with translated():
            found = set(await self._matches.distinct("category", {"category": {"$in": [*names]}}))
        # Seldom: a name that no frame has which was matched. Then all frames are looked through.
        return found | {name for name in set(names) - found if await self._used(name)}

    async def _used(self, name: Category) -> bool:
        truth = {"ground_truth.event.annotations.category": name}
        with translated():
            return await self._frames.find_one(truth, {"_id": 1}) is not None
