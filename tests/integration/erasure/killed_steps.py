"""Erases a frame in one process after another; the n-th is killed by SIGKILL at its n-th step.

A program, because a process with threads, such as the tests', must not fork.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import orjson

from services.app.erasure.eraser import FrameEraser
from services.app.erasure.places import alone
from services.app.parts import joined
from services.contracts.identity import FrameId, ModelId, PointId
from services.domain.ports.audit import AuditAct, AuditRecord
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.vectors import REGION_VECTORS, Point, VectorStore, collection_of
from services.formats.writers.frames import stem_of
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from services.runtime.stores.opening import Stores
from services.runtime.stores.vectors_open import open_vector_store
from tests.integration.erasure.world import World

KEPT = FrameId("kept")
COLLECTION = collection_of(REGION_VECTORS, ModelId("small"))
_STEPS = ("add", "append", "erase", "note_swept", "publish")
"""The calls that change something."""


class Fused:
    """A part that ends this process by SIGKILL before or after one of its changes."""

    left = 0
    after = False

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        return _step(found) if name in _STEPS else found


def _step(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def step(*args: Any) -> Any:
        Fused.left -= 1
        if Fused.left == 0 and not Fused.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await work(*args)
        if Fused.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return step


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
    world = World(stores.database, Path(settings.blob_url))
    await world.fill(frame, KEPT, f"image of {frame}".encode())
    await vectors.ensure(COLLECTION, 2, keywords=["frame_id"], numbers=[])
    point = Point(PointId(str(uuid5(NAMESPACE_URL, frame))), np.ones(2, np.float32), {})
    await vectors.upsert(COLLECTION, [replace(point, payload={"frame_id": frame})])
    export, name = settings.data / "exports" / stem_of(frame), f"{stem_of(frame)}.jpg"
    (export / "images").mkdir(parents=True)
    (export / "images" / name).write_bytes(b"pixels")
    manifest = {"files": {}, "frames": {name: {"frame_id": frame}}}
    (export / "manifest.json").write_bytes(orjson.dumps(manifest))
    now = SystemClock().now()
    await stores.audit.append(AuditRecord(now, AuditAct.EXPORTED, "ada", str(export)))


async def erase(settings: Settings, frame: FrameId | None) -> None:
    """Erase a new frame until the process is killed; or finish all erasures."""
    vectors = open_vector_store(settings)
    async with joined(settings) as app:
        clock = SystemClock()
        eraser = alone(app.stores, app.outbox, vectors, app.settings, clock)
        if frame is None:
            await eraser.sweep()
        else:
            await fill(app.stores, vectors, app.settings, frame)
            await fused(eraser).erase([frame], ErasureRequest("ada", "request 17", clock.now()))
    await vectors.close()


def killed(settings: Settings, frame: FrameId, step: int) -> bool:
    """Whether the erasure of a frame in a process of its own was killed at this step."""
    child = os.fork()
    if child == 0:
        Fused.left, Fused.after = step, step % 2 == 1
        asyncio.run(erase(settings, frame))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"step {step} failed")
    return os.WIFSIGNALED(status)


def main(arguments: Sequence[str]) -> None:
    """Kill an erasure at each of its steps, finish all, and print the number of steps."""
    data, mongodb, database, kafka = arguments
    settings = load_settings(
        data=Path(data), mongodb=mongodb, mongodb_database=database, kafka=kafka
    )
    step = 1
    while killed(settings, FrameId(f"{database}/gone.{step}"), step):
        step += 1
    asyncio.run(erase(settings, None))
    print(step - 1)  # noqa: T201  # read by the test


if __name__ == "__main__":
    main(sys.argv[1:])
