"""What a frame costs, and how soon it is done with: the whole pipeline on one machine.

    python -m benchmarks.pipeline --frames 10000              # embeddings precomputed
    python -m benchmarks.pipeline --frames 2000 --embedder gazeloop-small
    python -m benchmarks.pipeline --frames 3000 --rate 20     # freshness at a given load
    python -m benchmarks.pipeline --frames 10000 --apart      # services in processes of their own
    python -m benchmarks.pipeline --frames 100000 2> progress # half an hour; 3 GB of disk

Kafka, MongoDB and Qdrant Edge are real and run beside it; frames are small JPEGs, each with three
detections and two annotations. Figures are printed as JSON, one object a run; how far a long one
is, and whether it stays flat, on standard error. Ctrl-C publishes no more frames, and prints the
figures of those that are published; a second one ends the run without. A run keeps 27 kB of disk a
frame until it ends.
"""

import argparse
import asyncio
import hashlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from benchmarks.apart import running_apart
from benchmarks.metering import Meter, sizes
from benchmarks.pair_ages import pair_ages
from benchmarks.processes import Processes
from benchmarks.stage_cpu import StageClock
from services.cli.assembly import running
from services.cli.parts import App
from services.contracts.events import (
    Annotation,
    Detection,
    Event,
    FrameAnnotated,
    FrameCaptured,
    Image,
    PredictionsMade,
)
from services.contracts.flow import CONSUMERS
from services.contracts.identity import DriveId, FrameId, ModelId, VehicleId
from services.embedder.embedder import Boxes, FrameVectors
from services.embedder.torch_embedder import TorchEmbedder
from services.runtime.broker import BrokerAddress
from services.runtime.logs import configure_logs
from services.runtime.settings import Settings

_PRECOMPUTED = "precomputed"
_WITHOUT_VECTORS = ("fp_miner", "evaluator")
"""Services that can run apart: Qdrant Edge belongs to one process."""
_DIMENSION = 256
_CATEGORIES = ("stop sign", "speed limit", "traffic light", "crossing")
_PER_DRIVE = 30
_BATCH = 64
_LOOK_EVERY = 4
"""Batches published between two looks at the lag."""
_TICK_S = 0.1
_MOST_WAITING = 2000
"""Records that may wait: enough to keep every service busy."""
_TELL_S = 10.0
"""Between two lines about what is left once all frames are published."""
_START = datetime(2026, 5, 4, tzinfo=UTC)
_SIZE = (160, 120)


class Precomputed:
    """Vectors that cost nothing: a service somewhere else has made them."""

    model_id = ModelId(_PRECOMPUTED)
    frame_dimension = _DIMENSION
    region_dimension = _DIMENSION
    decoded_side: int | None = None

    def embed(self, images: Sequence[Picture.Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        """Vectors by the pictures' bytes."""
        found = []
        for image, each in zip(images, boxes, strict=True):
            seed = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8])
            vectors = np.random.default_rng(seed).normal(size=(1 + len(each), _DIMENSION))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            found.append(
                FrameVectors(vectors[0].astype(np.float32), vectors[1:].astype(np.float32))
            )
        return found


def precomputed_embeddings() -> None:
    """Let the embedder of this process be one that costs nothing."""
    TorchEmbedder.of = classmethod(lambda *_: Precomputed())  # type: ignore[assignment,method-assign]


def jpeg(number: int) -> bytes:
    """A picture of its own for every frame."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Picture.fromarray(blocks).resize(_SIZE, Picture.Resampling.BILINEAR).save(file, "JPEG")
    return file.getvalue()


def facts(app: App, number: int) -> list[Event]:
    """What is known of one frame: a third of the detections is wrong."""
    draw = random.Random(number)  # noqa: S311  # a benchmark's frames
    frame_id = FrameId(f"bench-{number:08d}")
    content = jpeg(number)
    image = Image(
        sha256=hashlib.sha256(content).hexdigest(),
        uri=app.stores.blobs.put(content),
        size_bytes=len(content),
        media_type="image/jpeg",
        width=_SIZE[0],
        height=_SIZE[1],
    )
    boxes = [(draw.uniform(0, 100), draw.uniform(0, 60), 40.0, 40.0) for _ in range(3)]
    named = [draw.choice(_CATEGORIES) for _ in boxes]
    return [
        FrameCaptured(
            frame_id=frame_id,
            vehicle_id=VehicleId(f"v{number % 5}"),
            drive_id=DriveId(f"drive-{number // _PER_DRIVE}"),
            captured_at=_START + timedelta(seconds=number),
            image=image,
        ),
        PredictionsMade(
            frame_id=frame_id,
            detector="bench",
            version="1",
            detections=tuple(
                Detection(category=name, score=draw.uniform(0.3, 1), bbox=box)
                for name, box in zip(named, boxes, strict=True)
            ),
        ),
        FrameAnnotated(
            frame_id=frame_id,
            annotations=tuple(
                Annotation(category=name, bbox=box)
                for name, box in zip(named[:2], boxes[:2], strict=True)
            ),
        ),
    ]


def _all_facts(app: App, numbers: Sequence[int]) -> list[list[Event]]:
    return [facts(app, each) for each in numbers]


class Windows:
    """Cost per frame, so many frames at a time: whether it stays flat."""

    def __init__(self, size: int, folder: Path, processes: Processes) -> None:
        self.lines: list[dict[str, float]] = []
        self._size = size
        self._folder = folder
        self._processes = processes
        self._frames, self._at, self._cpu = 0, time.monotonic(), processes.cpu_s()
        self._consumed = processes.consumed()

    def note(self, frames: int) -> None:
        """So many frames are published, and all but a few done with."""
        fresh = frames - self._frames
        if fresh < self._size:
            return
        processes = self._processes
        now, cpu, events = time.monotonic(), processes.cpu_s(), processes.consumed()
        line = {
            "frames": frames,
            "frames_per_s": round(fresh / (now - self._at), 1),
            "cpu_s_per_frame": round((cpu - self._cpu) / fresh, 4),
            "events_per_frame": round((events - self._consumed) / fresh, 1),
            **processes.megabytes(),
            "open_files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208  # names are enough
            # To look at each image would take longer with every line.
            "disk_mb": sum(sizes(self._folder, but="blobs").values()) >> 20,
        }
        _tell(**line)
        self.lines.append(line)
        self._frames, self._at, self._cpu, self._consumed = frames, now, cpu, events


def _tell(**line: float) -> None:
    """How far a long run is."""
    print(json.dumps(line), file=sys.stderr, flush=True)  # noqa: T201


def _told_to_end() -> asyncio.Event:
    """Set by the first Ctrl-C; the second ends the process as usual."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        told.set()

    loop.add_signal_handler(signal.SIGINT, end)
    return told


async def _done_or_told(work: Awaitable[None], told: asyncio.Event) -> bool:
    """Whether the work was done before it was told to end."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(told.wait())
    await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.wait((doing,))
        return False
    await doing
    return True


async def publish(app: App, frames: int, rate: float, windows: Windows, told: asyncio.Event) -> int:
    """Publish all, not faster than `rate` frames a second, and not far ahead of the services.

    Returns
    -------
    How many were published until it was told to end.
    """
    started = time.monotonic()
    # At a given rate, not in bursts: what is published at once waits for itself.
    size = max(1, round(rate * _TICK_S)) if rate else _BATCH
    for first in range(0, frames, size):
        if told.is_set():
            return first
        numbers = range(first, min(first + size, frames))
        made = await asyncio.to_thread(_all_facts, app, numbers)
        await app.outbox.publish([event for each in made for event in each])
        if rate:
            ahead = (first + len(numbers)) / rate - (time.monotonic() - started)
            await asyncio.sleep(max(0.0, ahead))
        elif first % (_BATCH * _LOOK_EVERY) == 0:
            while not told.is_set() and sum((await app.lag()).values()) > _MOST_WAITING:  # noqa: ASYNC110  # brokers ring no bell
                await asyncio.sleep(0.1)
        windows.note(first + len(numbers))
    return frames


class _Waiting:
    """Tells how much is left, now and then."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    async def look(self, lag: dict[tuple[str, str], int]) -> None:
        if time.monotonic() >= self._told_at + _TELL_S:
            self._told_at = time.monotonic()
            _tell(waiting=sum(lag.values()))


async def measured(options: argparse.Namespace) -> dict[str, object]:
    """One run, on a folder that is thrown away."""
    asked: dict[str, object] = {"rate": options.rate, "embedder": options.embedder}
    given = {} if options.embedder == _PRECOMPUTED else {"embedder": options.embedder}
    if not given:
        precomputed_embeddings()
    apart = _WITHOUT_VECTORS if options.apart else ()
    here = [name for name in CONSUMERS if name not in apart]
    clock = StageClock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings.model_validate(
            {"data": folder, "http_port": 0, "metrics_port": 0, **given}
        )
        async with running(settings, here) as app, running_apart(apart, folder) as others:
            processes = Processes(others)
            meter = Meter(folder, clock, processes)
            windows = Windows(options.window, folder, processes)
            told = _told_to_end()
            published = await publish(app, options.frames, options.rate, windows, told)
            done = await _done_or_told(app.caught_up(_Waiting().look), told)
            figures = await asyncio.to_thread(meter.read, published, app.settings)
            freshness = await asyncio.to_thread(pair_ages, BrokerAddress.of(app.settings))
            exported = {f"p{of * 100:g}_s": _ages(processes, of) for of in (0.5, 0.99)}
    return {
        "frames": published,
        **asked,
        "apart": apart,
        "all_done_with": done,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        **figures,
        "freshness_by_topics": freshness,
        "freshness_exported": exported,
        "windows": windows.lines,
    }


def _ages(processes: Processes, quantile: float) -> dict[str, float | None]:
    return processes.quantile(
        "gazeloop_freshness_seconds", ["stage"], quantile
    ) | processes.quantile("gazeloop_event_age_seconds", ["service", "topic"], quantile)


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.0, help="frames per second; 0: unlimited")
    parser.add_argument("--embedder", default=_PRECOMPUTED)
    parser.add_argument("--window", type=int, default=1000, help="frames between two looks")
    parser.add_argument(
        "--apart",
        action="store_true",
        help="run services in processes of their own, as in production, but for embedder and"
        " retriever, which share Qdrant Edge here",
    )
    options = parser.parse_args()
    configure_logs(level="WARNING")
    figures = asyncio.run(measured(options))
    print(json.dumps(figures, indent=2))  # noqa: T201  # the benchmark's output


if __name__ == "__main__":
    main()
