"""The latest curves in MongoDB, compressed."""

import zlib
from collections.abc import Mapping

from services.contracts.identity import DetectorId
from services.domain.metrics.subsets import Subset
from services.runtime.stores.mongo import Database, Document, translated


class MongoCurveStore:
    """The collections `curves` and `slice_curves`.

    Compressed, because a category's curve is 8 kB of digits.
    """

    def __init__(self, database: Database) -> None:
        self._curves = database["curves"]
        self._slices = database["slice_curves"]

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

    async def show_slices(self, detector: str, contents: Mapping[str, bytes]) -> None:
        with translated():
            for place, (name, content) in enumerate(contents.items()):
                key: Document = {"detector": detector, "slice": name}
                document = {**key, "place": place, "content": zlib.compress(content)}
                await self._slices.replace_one(key, document, upsert=True)
            gone: Document = {"detector": detector, "slice": {"$nin": list(contents)}}
            await self._slices.delete_many(gone)

    async def slices(self, detector: str) -> list[str]:
        with translated():
            found = self._slices.find({"detector": detector}, {"slice": 1}).sort("place", 1)
            return [item["slice"] for item in await found.to_list()]

    async def find_slice(self, detector: str, name: str) -> bytes | None:
        with translated():
            found = await self._slices.find_one({"detector": detector, "slice": name})
        return None if found is None else zlib.decompress(found["content"])


def _id(detector: str, subset: Subset) -> str:
    return f"{detector}|{subset}"
