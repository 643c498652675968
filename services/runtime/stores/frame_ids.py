"""Which frames there are."""

from services.contracts.identity import FrameId
from services.runtime.stores.mongo import Database, translated


class MongoFrameIds:
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

    async def captured(self) -> list[FrameId]:
        """The frames whose image is known, in the order of their ids.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        return await self._having("captured")

    async def annotated(self) -> list[FrameId]:
        """The captured frames that have ground truth, in the order of their ids.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        return await self._having("ground_truth", "captured")

    async def _having(self, *parts: str) -> list[FrameId]:
        where = {part: {"$exists": True} for part in parts}
        with translated():
            found = await self._frames.find(where, {"_id": 1}).sort("_id", 1).to_list()
        return [FrameId(document["_id"]) for document in found]
