"""The map of regions: the coordinates of their vectors in a plane, and attributes to colour by."""

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

import orjson

from services.contracts.identity import Category, DetectorId, FrameId, ModelId, RegionId
from services.runtime.stores.mongo import Database, Document, translated

_CHUNK: Final = 2000
"""Regions per document: an erased frame takes as many with it."""


class MappedRegion(NamedTuple):
    """A detected region on the map.

    Attributes
    ----------
    bbox : x, y, width, height, in pixels of the frame
    needle, error_type, family : of an active needle, else empty
    tags : of its frame, `key=value` by line
    """

    x: float
    y: float
    region_id: RegionId
    frame_id: FrameId
    detector: DetectorId
    category: Category
    score: float
    bbox: Sequence[float]
    split: str
    vehicle: str
    needle: str = ""
    error_type: str = ""
    family: str = ""
    tags: str = ""


@dataclass(frozen=True)
class RegionMap:
    """The regions of one map, and the model whose vectors it shows."""

    model: ModelId
    regions: Sequence[MappedRegion]


@dataclass(frozen=True)
class MapSize:
    """How many regions a map has, of which model, and a digest of its content."""

    model: ModelId
    count: int
    digest: str


class RegionMaps(Protocol):
    """The latest map."""

    async def size(self) -> MapSize | None:
        """The size of the map; None before the first one."""
        ...

    async def put(self, drawn: RegionMap) -> None:
        """Replace the map.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def find(self) -> RegionMap | None:
        """The map; None before the first one."""
        ...


class MongoRegionMaps:
    """The collection `region_map`: documents of some thousand regions each.

    A document's regions are one text, because MongoDB needs seconds for as many documents. Erasing
    a frame deletes the documents that name it, and the next map fills the gap.
    """

    def __init__(self, database: Database) -> None:
        self._chunks = database["region_map"]

    async def put(self, drawn: RegionMap) -> None:
        chunks = await asyncio.to_thread(_documents, drawn)
        with translated():
            for number, chunk in enumerate(chunks):
                await self._chunks.replace_one({"_id": number}, chunk, upsert=True)
            await self._chunks.delete_many({"_id": {"$gte": len(chunks)}})

    async def size(self) -> MapSize | None:
        with translated():
            fields = dict.fromkeys(("model", "count", "digest"), 1)
            found = await self._chunks.find({}, fields).sort("_id", 1).to_list()
        if not found:
            return None
        count = sum(chunk["count"] for chunk in found)
        digest = _digest("".join(chunk["digest"] for chunk in found).encode())
        return MapSize(ModelId(found[0]["model"]), count, digest)

    async def find(self) -> RegionMap | None:
        with translated():
            found = await self._chunks.find({}, {"frame_ids": 0}).sort("_id", 1).to_list()
        if not found:
            return None
        regions = await asyncio.to_thread(_regions, found)
        return RegionMap(ModelId(found[0]["model"]), regions)


def _documents(drawn: RegionMap) -> list[Document]:
    chunks = range(0, len(drawn.regions), _CHUNK)
    return [_document(drawn.model, drawn.regions[first : first + _CHUNK]) for first in chunks]


def _document(model: ModelId, regions: Sequence[MappedRegion]) -> Document:
    content = orjson.dumps([list(region) for region in regions])
    return {
        "model": model,
        "count": len(regions),
        "digest": _digest(content),
        "frame_ids": sorted({region.frame_id for region in regions}),
        "regions": zlib.compress(content, level=1),
    }


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _regions(chunks: Sequence[Document]) -> list[MappedRegion]:
    return [
        MappedRegion(*row)
        for chunk in chunks
        for row in orjson.loads(zlib.decompress(chunk["regions"]))
    ]
