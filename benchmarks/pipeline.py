"""What a frame costs, and how soon it is done with: the whole pipeline on one machine.

    python -m benchmarks.pipeline --frames 10000              # embeddings precomputed
    python -m benchmarks.pipeline --frames 2000 --embedder gazeloop-small
    python -m benchmarks.pipeline --frames 3000 --rate 20     # freshness at a given load

Kafka, MongoDB and Qdrant Edge are real and run beside it; frames are small JPEGs, each with three
detections and two annotations. Figures are printed as JSON, one object a run.
"""

import argparse
import asyncio
import hashlib
import io
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from prometheus_client import REGISTRY

from services.cli.assembly import App, running
from services.contracts.events import (
    Annotation,
    Detection,
    Event,
    FrameAnnotated,
    FrameCaptured,
    Image,
    PredictionsMade,
)
from services.contracts.identity import DriveId, FrameId, ModelId, VehicleId
from services.embedder.embedder import Boxes, FrameVectors
from services.embedder.torch_embedder import TorchEmbedder
from services.runtime.logs import configure_logs
from services.runtime.settings import Settings

_DIMENSION = 256
_CATEGORIES = ("stop sign", "speed limit", "traffic light", "crossing")
_PER_DRIVE = 30
_BATCH = 64
_LOOK_EVERY = 4
"""Batches published between two looks at the lag."""
_MOST_WAITING = 2000
"""Records that may wait: enough to keep every service busy."""
_START = datetime(2026, 5, 4, tzinfo=UTC)
_SIZE = (160, 120)


class Precomputed:
    """Vectors that cost nothing: a service somewhere else has made them."""

    model_id = ModelId("precomputed")
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


def cpu_seconds() -> float:
    """Of this process and all that it started: broker and MongoDB too."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return sum(used[pid] for pid in _family(parents))


def _family(parents: dict[int, int]) -> Iterator[int]:
    ours = os.getpid()
    for pid in parents:
        above = pid
        while above not in (0, ours):
            above = parents.get(above, 0)
        if above == ours:
            yield pid


def sizes(folder: Path) -> dict[str, int]:
    """Bytes on disk by part."""
    return {
        part.name: sum(file.stat().st_blocks * 512 for file in part.rglob("*") if file.is_file())
        for part in folder.iterdir()
        if part.is_dir()
    }


def busy_s() -> dict[str, float]:
    """Time in batches by service; they share a process, so waiting for each other counts."""
    return {
        sample.labels["service"]: round(sample.value, 1)
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == "gazeloop_batch_duration_seconds_sum"
    }


def ages(quantile: float) -> dict[str, float | None]:
    """Age of events when done with, from the exported histogram, by service and topic."""
    buckets: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name == "gazeloop_event_age_seconds_bucket":
                key = (sample.labels["service"], sample.labels["topic"])
                bound = float(sample.labels["le"].replace("+Inf", "inf"))
                buckets.setdefault(key, []).append((bound, sample.value))
    return {" ".join(key): _interpolated(quantile, each) for key, each in sorted(buckets.items())}


def _interpolated(quantile: float, buckets: list[tuple[float, float]]) -> float | None:
    wanted = quantile * buckets[-1][1]
    below, counted = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > counted:
            share = (wanted - counted) / (count - counted)
            return None if bound == float("inf") else round(below + share * (bound - below), 2)
        below, counted = bound, count
    return None


def _all_facts(app: App, numbers: Sequence[int]) -> list[list[Event]]:
    return [facts(app, each) for each in numbers]


class Windows:
    """Cost per frame, so many frames at a time: whether it stays flat."""

    def __init__(self, size: int) -> None:
        self.lines: list[dict[str, float]] = []
        self._size = size
        self._frames, self._at, self._cpu = 0, time.monotonic(), cpu_seconds()
        self._consumed = consumed()

    def note(self, frames: int) -> None:
        """So many frames are published, and all but a few done with."""
        fresh = frames - self._frames
        if fresh < self._size:
            return
        now, cpu, events = time.monotonic(), cpu_seconds(), consumed()
        line = {
            "frames": frames,
            "frames_per_s": round(fresh / (now - self._at), 1),
            "cpu_s_per_frame": round((cpu - self._cpu) / fresh, 4),
            "events_per_frame": round((events - self._consumed) / fresh, 1),
        }
        print(json.dumps(line), file=sys.stderr)  # noqa: T201  # long runs show how far they are
        self.lines.append(line)
        self._frames, self._at, self._cpu, self._consumed = frames, now, cpu, events


async def publish(app: App, frames: int, rate: float, windows: Windows) -> None:
    """Publish all, not faster than `rate` frames a second, and not far ahead of the services."""
    started = time.monotonic()
    for first in range(0, frames, _BATCH):
        numbers = range(first, min(first + _BATCH, frames))
        made = await asyncio.to_thread(_all_facts, app, numbers)
        await app.outbox.publish([event for each in made for event in each])
        if rate:
            ahead = (first + len(numbers)) / rate - (time.monotonic() - started)
            await asyncio.sleep(max(0.0, ahead))
        elif first % (_BATCH * _LOOK_EVERY) == 0:
            while sum((await app.lag()).values()) > _MOST_WAITING:  # noqa: ASYNC110  # brokers ring no bell
                await asyncio.sleep(0.1)
        windows.note(first + len(numbers))


def consumed() -> float:
    """Events that all services have taken."""
    return sum(
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == "gazeloop_events_consumed_total"
    )


async def measured(frames: int, rate: float, embedder: str, window: int) -> dict[str, object]:
    """One run, on a folder that is thrown away."""
    if embedder == "precomputed":
        TorchEmbedder.of = classmethod(lambda *_: Precomputed())  # type: ignore[assignment,method-assign]
    given = {} if embedder == "precomputed" else {"embedder": embedder}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate({"data": folder, "metrics_port": 0, **given})
        async with running(settings) as app:
            before, cpu = sizes(Path(folder)), cpu_seconds()
            started = time.monotonic()
            windows = Windows(window)
            await publish(app, frames, rate, windows)
            published_s = time.monotonic() - started
            await app.caught_up()
            took, cpu = time.monotonic() - started, cpu_seconds() - cpu
            after = sizes(Path(folder))
    grown = {part: (size - before.get(part, 0)) / frames for part, size in after.items()}
    return {
        "frames": frames,
        "embedder": embedder,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "published_s": round(published_s, 1),
        "seconds": round(took, 1),
        "frames_per_s": round(frames / took, 1),
        "events_per_frame": round(consumed() / frames, 1),
        "cpu_s_per_frame": round(cpu / frames, 4),
        "busy_s_by_service": busy_s(),
        "bytes_per_frame": {part: round(size) for part, size in sorted(grown.items())},
        "age_p50_s": ages(0.5),
        "age_p99_s": ages(0.99),
        "windows": windows.lines,
    }


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.0, help="frames per second; 0: unlimited")
    parser.add_argument("--embedder", default="precomputed")
    parser.add_argument("--window", type=int, default=1000, help="frames between two looks")
    options = parser.parse_args()
    configure_logs(level="WARNING")
    run = measured(options.frames, options.rate, options.embedder, options.window)
    figures = asyncio.run(run)
    print(json.dumps(figures, indent=2))  # noqa: T201  # the benchmark's output


if __name__ == "__main__":
    main()
