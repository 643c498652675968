"""Erases a frame in one process after another, each of which is killed by SIGKILL at another step.

A program, because a process with threads, such as the tests', must not fork.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from inspect import isawaitable
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import orjson

from services.app.erasure.eraser import FrameEraser
from services.app.erasure.erasers import eraser_alone
from services.app.parts import joined
from services.contracts.identity import FrameId, ModelId, PointId
from services.domain.ports.audit import AuditAct, AuditRecord
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    Point,
    VectorStore,
    collection_of,
)
from services.formats.writers.frames import stem_of
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from services.runtime.stores.opening import Stores
from services.runtime.stores.vectors_open import open_vector_store
from tests.integration.erasure.world import World
from tests.qdrant_server import SETTINGS

KEPT = FrameId("kept")
COLLECTIONS = [
    collection_of(alias, ModelId(model))
    for alias in (FRAME_VECTORS, REGION_VECTORS)
    for model in ("old", "small")
]
_STEPS = ("add", "append", "delete", "erase", "note_swept", "publish")
"""The calls that change something."""


class Fused:
    """A part that ends this process by SIGKILL after one of its changes, or within it."""

    left = 0

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        return _step(found) if name in _STEPS else found


def _step(work: Callable[..., Any]) -> Callable[..., Any]:
    def step(*args: Any) -> Any:
        Fused.left -= 1
        is_last = Fused.left == 0
        result = work(*args)
        return _awaited(result, is_last) if isawaitable(result) else _ended(result, is_last)

    return step


async def _awaited(result: Awaitable[Any], is_last: bool) -> Any:
    return _ended(await result, is_last)


def _ended(result: Any, is_last: bool) -> Any:
    if is_last:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def fused(eraser: FrameEraser) -> FrameEraser:
    """The eraser with parts that end the process."""
    outside = replace(eraser.outside, audit=Fused(eraser.outside.audit))
    return replace(
        eraser,
        tombstones=Fused(eraser.tombstones),
        traces=[Fused(traces) for traces in eraser.traces],
        outbox=Fused(eraser.outbox),
        outside=outside,
    )


async def fill(stores: Stores, vectors: VectorStore, settings: Settings, frame: FrameId) -> None:
    """Store everything there may be about a frame: documents, an image, vectors and files."""
    world = World(stores.database, settings.blob_url)
    await world.fill(frame, KEPT, f"image of {frame}".encode())
    point = Point(PointId(str(uuid5(NAMESPACE_URL, frame))), np.ones(2, np.float32), {})
    for collection in COLLECTIONS:
        await vectors.ensure(collection, 2, keywords=["frame_id"], numbers=[])
        await vectors.upsert(collection, [replace(point, payload={"frame_id": frame})])
    export, name = settings.data / "exports" / stem_of(frame), f"{stem_of(frame)}.jpg"
    (export / "images").mkdir(parents=True)
    (export / "images" / name).write_bytes(b"pixels")
    manifest = {"files": {}, "frames": {name: {"frame_id": frame}}}
    (export / "manifest.json").write_bytes(orjson.dumps(manifest))
    now = SystemClock().now()
    await stores.audit.append(AuditRecord(now, AuditAct.EXPORTED, "ada", str(export)))


async def erase(settings: Settings, frame: FrameId | None) -> None:
    """Finish what a killed process left, then erase a frame until this one is killed."""
    vectors = open_vector_store(settings)
    async with joined(settings) as app:
        clock, stores = SystemClock(), app.stores
        await eraser_alone(stores, app.outbox, vectors, app.settings, clock).sweep()
        if frame is not None:
            await fill(stores, vectors, app.settings, frame)
            ending: Any = Fused(vectors)
            in_bucket = replace(stores, blobs=Fused(stores.blobs))
            eraser = eraser_alone(in_bucket, app.outbox, ending, app.settings, clock)
            await fused(eraser).erase([frame], ErasureRequest("ada", "request 17", clock.now()))
    await vectors.close()


def killed(settings: Settings, frame: FrameId, step: int) -> bool:
    """Whether the erasure of a frame in a process of its own was killed at this step."""
    child = os.fork()
    if child == 0:
        Fused.left = step
        asyncio.run(erase(settings, frame))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"step {step} failed")
    return os.WIFSIGNALED(status)


def main(arguments: Sequence[str]) -> None:
    """Kill erasures after their steps, finish all, and print the last step's number."""
    data, mongodb, database, kafka, blobs, every = arguments
    settings = load_settings(
        data=Path(data),
        mongodb=mongodb,
        mongodb_database=database,
        **{"kafka": kafka, "blobs": blobs, **SETTINGS},
    )
    step = 1
    while killed(settings, FrameId(f"{database}/gone.{step}"), step):
        step += int(every)
    asyncio.run(erase(settings, None))
    print(step - int(every))  # noqa: T201  # read by the test


if __name__ == "__main__":
    main(sys.argv[1:])
