"""A deployment without services: MongoDB, a broker, images and Qdrant Edge, with a few frames."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, uuid4, uuid5

import bson
import numpy as np

from services.app.backup.backups import Backups
from services.app.backup.making import back_up
from services.app.backup.manifest import Manifest
from services.app.backup.places import open_backups
from services.app.backup.restoring import Restored, restoring
from services.app.parts import joined
from services.contracts.identity import ModelId, PointId
from services.domain.ports.vectors import (
    REGION_VECTORS,
    Payload,
    Point,
    Where,
    collection_of,
)
from services.ground_truth.drafts import entry_of
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.mongo import connected
from services.runtime.stores.mongo_dump import collections_to_keep
from services.runtime.stores.vectors_open import open_vector_store
from tests import samples

SECRET = "hunter2-hunter2"  # to look for
COLLECTION = collection_of(REGION_VECTORS, ModelId("small"))


@dataclass(frozen=True)
class Contents:
    """All that the stores hold: documents by collection and id, images, vectors and aliases."""

    documents: dict[str, dict[str, bytes]]
    images: list[str]
    vectors: dict[PointId, tuple[bytes, Payload]]
    aliases: dict[str, str]

    def naming(self, frame_id: str) -> list[str]:
        """The collections that name a frame."""
        mark = frame_id.encode()
        named = [
            name for name, found in self.documents.items() if any(mark in v for v in found.values())
        ]
        held = any(payload.get("frame_id") == frame_id for _, payload in self.vectors.values())
        return [*named, "vectors"] if held else named


def settings_of(
    data: Path, mongodb: str, broker: BrokerAddress, more: Mapping[str, object]
) -> Settings:
    """Settings of a deployment of its own."""
    return load_settings(
        data=data,
        mongodb=mongodb,
        mongodb_database=f"backup-{uuid4().hex[:8]}",
        kafka=str(broker),
        qdrant_api_key=SECRET,
        **more,
    )


async def fill(settings: Settings, frames: Sequence[str]) -> None:
    """Store captures, predictions, ledger entries, images and vectors of frames."""
    vectors = open_vector_store(settings)
    async with joined(settings) as app:
        for name in frames:
            content = f"image of {name}".encode()
            uri = app.stores.blobs.put(content)
            captured = samples.frame_captured(name)
            image = captured.image.model_copy(
                update={"sha256": hashlib.sha256(content).hexdigest(), "uri": uri}
            )
            event = captured.model_copy(update={"image": image})
            made = samples.predictions_made(frame_id=name)
            await app.stores.frames.record([event, made])
            await app.stores.ledger.assign([entry_of(event), entry_of(made)])
        await vectors.ensure(COLLECTION, 4, keywords=["frame_id"], numbers=["score"])
        await vectors.upsert(COLLECTION, [_point(name) for name in frames])
        await vectors.alias({REGION_VECTORS: COLLECTION})
    await vectors.close()


def _point(name: str) -> Point:
    rng = np.random.default_rng(len(name))
    payload: Payload = {"frame_id": name, "score": 0.5, "copy": False, "drive": None}
    vector = rng.random(4, np.float32)
    return Point(PointId(str(uuid5(NAMESPACE_URL, name))), vector, payload)


async def contents(settings: Settings) -> Contents:
    """All that the stores hold now."""
    documents = {}
    async with connected(settings) as database:
        for name in await collections_to_keep(database):
            found = await database[name].find().to_list()
            documents[name] = {str(item["_id"]): bson.encode(item) for item in found}
    images = list(open_blobs(settings.blob_url).uris())
    vectors = open_vector_store(settings)
    points = [p async for page in vectors.scan(COLLECTION, 100) for p in page]
    assert await vectors.count(COLLECTION, Where()) == len(points)
    aliases = await vectors.aliases()
    await vectors.close()
    held = {p.point_id: (p.vector.tobytes(), p.payload) for p in points}
    return Contents({k: v for k, v in documents.items() if v}, images, held, aliases)


@contextmanager
def _ungrouped() -> Iterator[None]:
    """Raise what a task group raises because of one error as that error."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            (error,) = error.exceptions
        raise error from None


async def backed_up(settings: Settings, to: Path | str, **options: bool) -> Manifest:
    """Make a backup."""
    with _ungrouped():
        return await _backed_up(settings, to, **options)


async def _backed_up(settings: Settings, to: Path | str, **options: bool) -> Manifest:
    async with joined(settings) as app:
        folder = open_backups(str(to))
        return await back_up(app, folder, SystemClock(), lambda _: None, **options)


async def restored(settings: Settings, source: Path | str, name: str = "") -> Restored:
    """Restore a backup."""
    with _ungrouped():
        return await _restored(settings, open_backups(str(source)), name)


async def _restored(settings: Settings, folder: Backups, name: str) -> Restored:
    async with restoring(settings) as stores:
        return await stores.restore(folder, folder.manifest(name), SystemClock(), lambda _: None)
