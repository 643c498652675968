"""Which categories the data knows."""

from collections.abc import Collection

from services.contracts.identity import Category
from services.runtime.stores.mongo import Database, translated

_ANNOTATED_AS = "ground_truth.event.annotations.category"


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
        left = set(names) - found
        return found | (await self._annotated_as(left) if left else set())

    async def _annotated_as(self, names: Collection[Category]) -> set[Category]:
        # Seldom: names that no frame has which was matched. Then all frames are looked through,
        # once for all names.
        with translated():
            annotated = await self._frames.distinct(
                _ANNOTATED_AS, {_ANNOTATED_AS: {"$in": [*names]}}
            )
        return set(names) & set(annotated)
