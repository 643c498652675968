"""How soon a needle has its shortlist, while needles and embeddings go on coming.

`.venv/bin/python -m benchmarks.retrieval_latency`. The retriever's own step, with what runs beside
it, on a real mongod and Qdrant Edge; the broker is left out. A survey is stored and planned; then
reference frames come with needles, and haystack frames with embeddings that are written to the same
store meanwhile. A needle's time is from its event to the end of the batch that it is in, by which
its shortlist is written and published; the retriever's wait for a fuller batch is part of it.
"""

import asyncio
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from services.app.family_marking import mark_families
from services.app.repeating import repeated
from services.contracts.events import (
    Annotation,
    Detection,
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    Image,
    PredictionsMade,
    Split,
)
from services.contracts.identity import (
    Category,
    DriveId,
    FrameId,
    ModelId,
    PointId,
    VehicleId,
    frame_point_id,
    region_point_id,
)
from services.contracts.needles import NeedleFound
from services.domain.arrays import Vectors
from services.domain.detection.operating_scores import OperatingScores
from services.domain.ports.shortlists import NOT_SHORTLISTED
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    Payload,
    Point,
    VectorStore,
    collection_of,
)
from services.fp_miner.logic import MatchedFrame, NeedleRule, matches_of, needles_in
from services.retriever.service import PublishShortlists
from services.retriever.sources import RetrieverStores
from services.runtime.clock import SystemClock
from services.runtime.embedded.mongod import Mongod
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores, open_stores
from services.runtime.stores.vectors_edge import EdgeVectorStore

MODEL = ModelId("bench")
CATEGORIES = 10
WAYS = 5
"""In which a category's regions look wrong, or right."""
PER_FRAME = 3
PER_DRIVE = 50
REFERENCE = 0.25
WRITE = 16
"""Frames that are embedded at once."""
START = datetime(2026, 5, 4, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """Frames by number; the same whenever they are asked for."""

    dimension: int
    settings: Settings
    looks: Vectors = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        looks = rng.standard_normal((CATEGORIES, 2 * WAYS, self.dimension), np.float32)
        object.__setattr__(self, "looks", looks)

    def split(self, number: int) -> Split:
        """By its drive."""
        return self.settings.split_rule.split_of(_frame(number), _drive(number))

    def seen(self, number: int) -> "Seen":
        """What there is of a frame: a third of its detections is wrong."""
        rng = np.random.default_rng([1, number])
        detections, annotations, rows = [], [], []
        for place in range(PER_FRAME):
            category, wrong = int(rng.integers(CATEGORIES)), rng.random() < 1 / 3
            box = (200.0 * place + rng.uniform(0, 60), rng.uniform(0, 400), 80.0, 80.0)
            name, score = Category(f"category-{category}"), float(rng.uniform(0.5, 1))
            detections.append(Detection(category=name, score=score, bbox=box))
            if not wrong:
                annotations.append(Annotation(category=name, bbox=box))
            look = self.looks[category, int(rng.integers(WAYS)) + WAYS * wrong]
            rows.append(look + 0.9 * rng.standard_normal(self.dimension, np.float32))
        vectors = np.stack(rows)
        return Seen(
            FrameCaptured(
                frame_id=_frame(number),
                vehicle_id=VehicleId(f"v{number % 7}"),
                drive_id=_drive(number),
                captured_at=START + timedelta(seconds=2 * number),
                image=_image(number),
            ),
            PredictionsMade(
                frame_id=_frame(number), detector="d", version="1", detections=tuple(detections)
            ),
            FrameAnnotated(frame_id=_frame(number), annotations=tuple(annotations)),
            self.split(number),
            np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)),
        )


def _image(number: int) -> Image:
    """A picture of its own: frames that share one are copies, and on no shortlist."""
    return Image(
        sha256=f"{number:064x}",
        uri="file:///none",
        size_bytes=1,
        media_type="image/jpeg",
        width=640,
        height=480,
    )


def _frame(number: int) -> FrameId:
    return FrameId(f"bench-{number:07d}")


def _drive(number: int) -> DriveId:
    return DriveId(f"drive-{number // PER_DRIVE}")


@dataclass(frozen=True)
class Seen:
    """A frame, and the vectors of its regions in their order."""

    captured: FrameCaptured
    predictions: PredictionsMade
    truth: FrameAnnotated
    split: Split
    vectors: Vectors

    @property
    def embedded(self) -> FrameEmbedded:
        """What the embedder says of it."""
        detector = self.predictions.detector_id
        return FrameEmbedded(
            frame_id=self.captured.frame_id,
            model=MODEL,
            frame_point=frame_point_id(MODEL, self.captured.frame_id),
            regions={detector: tuple(self.predictions.region_ids())},
            predictions_revisions={detector: 1},
        )

    def points(self) -> Iterator[Point]:
        """Its regions with what searches filter by."""
        regions = self.predictions.region_ids()
        for region, found, row in zip(
            regions, self.predictions.detections, self.vectors, strict=True
        ):
            payload: Payload = {
                "frame_id": self.captured.frame_id,
                "region_id": region,
                "detector": self.predictions.detector_id,
                "category": found.category,
                "score": found.score,
                "split": self.split.value,
                "drive_id": self.captured.drive_id,
            }
            yield Point(region_point_id(MODEL, region), row, payload)

    def frame_point(self) -> Point:
        """The frame's own."""
        row = self.vectors[0]
        return Point(self.embedded.frame_point, row, {"split": self.split.value})


class Published:
    """An outbox whose broker is at once."""

    count = 0

    async def publish(self, events: Sequence[Event]) -> None:
        """Count them."""
        self.count += len(events)


class Survey:
    """What is stored of the world, and what is said of it."""

    def __init__(self, world: World, stores: Stores, vectors: VectorStore) -> None:
        self._world = world
        self._stores = stores
        self._vectors = vectors

    async def prepare(self) -> None:
        """Create the collections."""
        for alias in (REGION_VECTORS, FRAME_VECTORS):
            collection = collection_of(alias, MODEL)
            await self._vectors.ensure(
                collection,
                self._world.dimension,
                keywords=("detector", "category", "split"),
                numbers=("score",),
            )
            await self._vectors.alias({alias: collection})

    async def store(self, numbers: Sequence[int]) -> list[Event]:
        """Store these frames as the other services do; the events that say so."""
        seen = await asyncio.to_thread(lambda: [self._world.seen(number) for number in numbers])
        await self._vectors.upsert(
            collection_of(REGION_VECTORS, MODEL),
            [point for frame in seen for point in frame.points()],
        )
        await self._vectors.upsert(
            collection_of(FRAME_VECTORS, MODEL), [frame.frame_point() for frame in seen]
        )
        facts = [
            fact for frame in seen for fact in (frame.captured, frame.predictions, frame.truth)
        ]
        await self._stores.frames.record(facts)
        events: list[Event] = [frame.embedded for frame in seen]
        for frame in seen:
            if frame.split is Split.REFERENCE:
                whole = MatchedFrame(
                    frame.captured, frame.truth, frame.predictions, NOT_SHORTLISTED
                )
                operating = OperatingScores(0.5)
                (matched,) = matches_of([whole], self._world.settings.split_rule, operating)
                await self._stores.matches.record([matched])
                events += [matched, *needles_in(matched, NeedleRule(operating))]
        return events


class Consumer:
    """The retriever's batches, as its service takes them."""

    def __init__(self, step: PublishShortlists, settings: Settings) -> None:
        self._step = step
        self._settings = settings
        self._queue: asyncio.Queue[tuple[float, Event]] = asyncio.Queue()
        self.seconds: list[float] = []
        self.batches: list[float] = []

    def tell(self, events: Sequence[Event]) -> None:
        """Say these now."""
        for event in events:
            self._queue.put_nowait((time.perf_counter(), event))

    async def consume(self) -> None:
        """Batch after batch."""
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(self._settings.epoch_s)
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            started = time.perf_counter()
            await self._step.run([event for _, event in batch])
            ended = time.perf_counter()
            self.batches.append(ended - started)
            self.seconds += [ended - at for at, event in batch if isinstance(event, NeedleFound)]


@dataclass(frozen=True)
class Load:
    """What comes, and for how long."""

    frames: int
    regions: int
    needles_per_s: float
    embedded_per_s: float
    seconds: float


async def fill(survey: Survey, vectors: VectorStore, load: Load, dimension: int) -> list[Event]:
    """Store the survey, and regions of other detectors until there are so many."""
    events: list[Event] = []
    for start in range(0, load.frames, 500):
        events += await survey.store(range(start, min(start + 500, load.frames)))
    rng = np.random.default_rng(2)
    for start in range(PER_FRAME * load.frames, load.regions, 2000):
        rows = rng.standard_normal((min(2000, load.regions - start), dimension), np.float32)
        others = [
            Point(
                PointId(f"00000000-0000-0000-0000-{start + place:012d}"),
                row,
                {
                    "detector": "other@1",
                    "category": "category-0",
                    "split": "haystack",
                    "score": 0.9,
                },
            )
            for place, row in enumerate(rows)
        ]
        await vectors.upsert(collection_of(REGION_VECTORS, MODEL), others)
    return events


async def stream(survey: Survey, world: World, consumer: Consumer, load: Load) -> float:
    """Tell needles and embeddings at their rates; how many needles a second that were."""
    numbers = range(load.frames, 100 * load.frames)
    haystack = (n for n in numbers if world.split(n) is Split.HAYSTACK)
    reference = (n for n in numbers if world.split(n) is Split.REFERENCE)
    sent = {Split.HAYSTACK: 0.0, Split.REFERENCE: 0.0}
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < load.seconds:
        if passed * load.embedded_per_s - sent[Split.HAYSTACK] >= WRITE:
            consumer.tell(await survey.store(list(islice(haystack, WRITE))))
            sent[Split.HAYSTACK] += WRITE
        if passed * load.needles_per_s - sent[Split.REFERENCE] >= WRITE:
            # A frame has one needle, on average.
            events = await survey.store(list(islice(reference, WRITE)))
            consumer.tell(events)
            sent[Split.REFERENCE] += sum(isinstance(event, NeedleFound) for event in events)
        await asyncio.sleep(0.01)
    return sent[Split.REFERENCE] / passed


async def measured(load: Load, dimension: int, folder: Path) -> dict[str, str]:
    """The figures of one run."""
    async with AsyncExitStack() as closing:
        mongod = closing.enter_context(Mongod(folder / "mongod"))
        settings = Settings(data=folder, mongodb=mongod.url, reference_share=REFERENCE)
        stores = await closing.enter_async_context(open_stores(settings, "bench"))
        vectors = EdgeVectorStore.open(folder / "vectors")
        closing.push_async_callback(vectors.close)
        world, outbox, clock = World(dimension, settings), Published(), SystemClock()
        survey = Survey(world, stores, vectors)
        await survey.prepare()
        events = await fill(survey, vectors, load, dimension)
        step = PublishShortlists(
            RetrieverStores(
                frames=stores.frames,
                matches=stores.matches,
                needles=stores.needles,
                vectors=vectors,
                epochs=stores.epochs,
                models=stores.failure_models,
                openings=stores.openings,
                known_places=stores.known_places,
                budgets=stores.budgets,
            ),
            outbox=outbox,
            settings=settings,
            clock=clock,
        )
        started = time.perf_counter()
        await step.run(events)
        while await step.settle():
            pass
        first_s = time.perf_counter() - started
        consumer = Consumer(step, settings)

        async def families() -> None:
            await mark_families(stores, vectors, settings, clock)

        for name, work, every_s in (
            ("families", families, 15.0),
            ("budgets", step.report_budgets, 15.0),
            ("settle", step.settle_when_due, settings.epoch_s / 4),
        ):
            await closing.enter_async_context(repeated(name, work, clock, every_s=every_s))
        consuming = asyncio.create_task(consumer.consume())
        before = outbox.count
        rate = await stream(survey, world, consumer, load)
        await asyncio.sleep(1)
        consuming.cancel()
        published = outbox.count - before
        return {
            "needles before": f"{sum(isinstance(event, NeedleFound) for event in events):,}",
            "needles told a second": f"{rate:.0f}",
            "shortlists published": f"{published:,}",
            "needle to shortlist, median / p99 / most, ms": _three(consumer.seconds),
            "batch, median / p99 / most, ms": _three(consumer.batches),
            "first shortlists, s": f"{first_s:.1f}",
        }


def _three(seconds: Sequence[float]) -> str:
    return " / ".join(
        f"{value:.0f}" for value in np.percentile(np.array(seconds) * 1e3, (50, 99, 100))
    )


def main() -> None:
    """Print the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=6_000)
    parser.add_argument("--regions", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--needles-per-s", type=float, default=50)
    parser.add_argument("--embedded-per-s", type=float, default=20, help="haystack frames")
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    load = Load(args.frames, args.regions, args.needles_per_s, args.embedded_per_s, args.seconds)
    configure_logs(level="WARNING")
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measured(load, args.dimension, Path(folder)))
    table = Table(
        title=f"{load.frames:,} frames of {PER_FRAME} regions, of {load.regions:,} in the store"
    )
    table.add_column("")
    table.add_column("", justify="right")
    for row in figures.items():
        table.add_row(*row)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
