"""The latest curves of each detector and subset, as JSON, for whoever draws them."""

import zlib
from typing import Protocol

from services.contracts.identity import DetectorId
from services.domain.metrics.subsets import Subset
from services.runtime.stores.mongo import Database, translated


class CurveStore(Protocol):
    """JSON documents by detector and subset."""

    async def put(self, detector: str, subset: Subset, content: bytes) -> None:
        """Replace a document."""
        ...

    async def find(self, detector: str, subset: Subset) -> bytes | None:
        """A document; None if there is none."""
        ...

    async def detectors(self) -> list[DetectorId]:
        """The detectors that have documents, in the order of their names."""
        ...


class MongoCurveStore:
    """The collection `curves`; compressed, because a category's curve is 8 kB of digits."""

    def __init__(self, database: Database) -> None:
        self._curves = database["curves"]

    async def put(self, detector: str, subset: Subset, content: bytes) -> None:
        document = {"content": zlib.compress(content)}
        with translated():
            await self._curves.replace_one({"_id": _id(detector, subset)}, document, upsert=True)

    async def find(self, detector: str, subset: Subset) -> bytes | None:
        with translated():
            found = await self._curves.find_one({"_id": _id(detector, subset)})
        return None if found is None else zlib.decompress(found["content"])

    async def detectors(self) -> list[DetectorId]:
        with translated():
            found = await self._curves.find({}, {"_id": 1}).to_list()
        # A detector's name may have a bar, a subset has none.
        return sorted({DetectorId(item["_id"].rpartition("|")[0]) for item in found})


def _id(detector: str, subset: Subset) -> str:
    return f"{detector}|{subset}"
