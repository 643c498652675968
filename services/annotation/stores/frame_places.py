"""The positions of frames, for maps."""

from typing import Protocol

from services.runtime.stores.mongo import Database, translated


class FramePlaces(Protocol):
    """Positions of frames."""

    async def some(self, limit: int) -> list[tuple[float, float]]:
        """Latitude and longitude of frames that have a position, in no particular order.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...


class MongoFramePlaces:
    """Reads the collection `frames`."""

    def __init__(self, database: Database) -> None:
        self._frames = database["frames"]

    async def some(self, limit: int) -> list[tuple[float, float]]:
        path = "position"
        where = {path: {"$exists": True}}
        with translated():
            found = await self._frames.find(where, {path: 1}).limit(limit).to_list()
        return [(lat, lon) for lat, lon in (document[path] for document in found)]
