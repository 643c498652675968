"""Reads whole collections of vectors into files, and writes them back, to any vector store."""

import asyncio
from pathlib import Path
from typing import Final

import numpy as np

from services.contracts.identity import PointId
from services.domain.ports.vectors import Point, VectorReader, VectorStore
from services.runtime.stores.bson_files import BsonWriter, read_documents

_AT_ONCE: Final = 500


async def dump_points(vectors: VectorReader, collection: str, path: Path) -> BsonWriter:
    """Write a collection's points to a file, in the order of their ids.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    OSError
        The file cannot be written.
    """
    with BsonWriter(path) as file:
        async for points in vectors.scan(collection, _AT_ONCE):
            if points:
                document = {
                    "ids": [point.point_id for point in points],
                    "vectors": np.stack([p.vector for p in points]).astype("<f4").tobytes(),
                    "payloads": [dict(point.payload) for point in points],
                }
                await asyncio.to_thread(file.write, [document])
    return file


async def load_points(vectors: VectorStore, collection: str, path: Path) -> None:
    """Write a file's points to a collection, which exists.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    DamagedBackup
        The file cannot be read.
    """
    for (document,) in read_documents(path, 1):
        ids = document["ids"]
        rows = np.frombuffer(document["vectors"], "<f4").reshape(len(ids), -1)
        await vectors.upsert(
            collection,
            [
                Point(PointId(point_id), row, dict(payload))
                for point_id, row, payload in zip(ids, rows, document["payloads"], strict=True)
            ],
        )
