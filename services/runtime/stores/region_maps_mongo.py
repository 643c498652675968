"""The map of regions in MongoDB."""

import asyncio
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import orjson

from services.contracts.identity import ModelId
from services.domain.ports.region_maps import MappedRegion, MapSize, RegionMap
from services.runtime.stores.mongo import Database, Document, translated

_CHUNK: Final = 2000
"""Regions per document: an erased frame takes as many with it."""


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
