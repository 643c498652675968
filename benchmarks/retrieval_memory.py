"""The memory of a retriever while its haystack grows: caches, worths, candidates and queues.

`python -m benchmarks.retrieval_memory --frames 1000000 --every 100000`. Stores that make up what
they are asked for hold nothing, so what grows is the retriever's own. Every epoch brings 2,000
haystack frames of two regions; one frame in fifty is an annotated reference frame.
"""

import argparse
import asyncio
import gc
import hashlib
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta
from pathlib import Path
from time import process_time

import numpy as np
import structlog
from rich.console import Console

from services.contracts.events import Event, FrameEmbedded, PredictionsMade
from services.contracts.identity import FrameId, PointId
from services.contracts.matches import CategoryMatched, FrameMatched
from services.domain.arrays import Vector
from services.domain.ports.epochs import StateChanges
from services.domain.ports.frames import FrameRecord
from services.domain.ports.vectors import REGION_VECTORS, Hit, Where, collection_of
from services.domain.shortlists.epochs import Epoch
from services.retriever.service import PublishShortlists
from services.retriever.sources import RetrieverStores
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.budget_reports import InMemoryBudgetReports
from tests.fakes.clock import FakeClock
from tests.fakes.epochs import InMemoryEpochStore
from tests.fakes.failure_models import InMemoryFailureModelStore
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.known_places import InMemoryKnownPlaces
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.fakes.openings import InMemoryOpenings
from tests.fakes.vectors import InMemoryVectors

PER_EPOCH, REFERENCE, NEEDLES, DIMENSION = 2_000, 50, 40, 64
CACHE_BYTES = 32_000_000
"""Of each cache, so that all are full at 100,000 frames."""


def predictions_of(frame_id: str) -> PredictionsMade:
    """Two detections, whose places differ by frame."""
    seed = int(hashlib.sha256(frame_id.encode()).hexdigest()[:8], 16)
    boxes = [
        (float(seed % 500), float(seed % 300), 40.0, 40.0),
        (5.0, float(seed % 200), 30.0, 9.0),
    ]
    return samples.predictions_made(
        *(samples.detection(bbox=box) for box in boxes), frame_id=frame_id
    )


class MadeUpFrames(InMemoryFrameStore):
    """Every frame that is asked for exists."""

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameRecord]:
        return {frame_id: _record(frame_id) for frame_id in frame_ids}


def _record(frame_id: FrameId) -> FrameRecord:
    captured, made = (
        samples.frame_captured(frame_id, f"d{int(frame_id[1:]) % 997}"),
        predictions_of(frame_id),
    )
    seconds = timedelta(seconds=int(frame_id[1:]))
    captured = captured.model_copy(update={"captured_at": captured.captured_at + seconds})
    return FrameRecord(frame_id, captured, None, {made.detector_id: made})


class MadeUpVectors(InMemoryVectors):
    """Every region has a vector, and no search finds anything."""

    haystack = 0

    async def load(self, collection: str, point_ids: Collection[PointId]) -> dict[PointId, Vector]:
        del collection
        return {point: _vector(point) for point in point_ids}

    async def nearest(self, collection: str, vector: Vector, where: Where, limit: int) -> list[Hit]:
        del collection, vector, where, limit
        return []

    async def count(self, collection: str, where: Where) -> int:
        del collection, where
        return self.haystack


def _vector(point: PointId) -> Vector:
    rng = np.random.default_rng(int(str(point).replace("-", "")[:12], 16))
    vector = rng.normal(size=DIMENSION).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


class NoMatches(InMemoryMatchStore):
    """Nothing is read again: the retriever is told of every match."""

    async def scan(self, **_: object) -> AsyncIterator[CategoryMatched]:
        nothing: Sequence[CategoryMatched] = ()
        for match in nothing:
            yield match


class LastEpochs(InMemoryEpochStore):
    """Keeps nothing but the last epoch, and counts what it was given to record."""

    recorded = 0

    async def close(self, epoch: Epoch, changes: StateChanges) -> bool:
        self._epochs = {(epoch.detector, epoch.number): epoch}
        self.recorded += len(changes.content)
        return True


class NoOutbox:
    """Publishes nothing."""

    async def publish(self, events: Sequence[Event]) -> None:
        del events


async def main(frames: int, every: int) -> None:
    """Print the memory after every so many frames."""
    settings = Settings(
        frame_cache_bytes=CACHE_BYTES,
        needle_cache_bytes=CACHE_BYTES,
        match_cache_bytes=CACHE_BYTES,
        vector_cache_bytes=CACHE_BYTES,
        worth_cache_bytes=CACHE_BYTES,
        shortlist_budget=0.001,
    )
    vectors, epochs = MadeUpVectors(), LastEpochs()
    regions = collection_of(REGION_VECTORS, samples.MODEL)
    await vectors.ensure(regions, DIMENSION, keywords=(), numbers=())
    await vectors.alias({REGION_VECTORS: regions})
    step = PublishShortlists(
        RetrieverStores(
            frames=MadeUpFrames(),
            matches=NoMatches(),
            needles=InMemoryNeedleStore(),
            vectors=vectors,
            epochs=epochs,
            models=InMemoryFailureModelStore(),
            openings=InMemoryOpenings(),
            known_places=InMemoryKnownPlaces(),
            budgets=InMemoryBudgetReports(),
        ),
        outbox=NoOutbox(),
        settings=settings,
        clock=FakeClock(),
    )
    await step.run([*map(_needle, range(NEEDLES))])
    out = Console(width=100, highlight=False)
    out.print(f"{'frames':>9} {'RSS':>8} {'CPU per frame':>14} {'recorded per frame':>19}")
    spent, recorded = process_time(), epochs.recorded
    for start in range(NEEDLES, frames, PER_EPOCH):
        vectors.haystack = start
        await step.run(
            [event for number in range(start, start + PER_EPOCH) for event in _events(number)]
        )
        done = start + PER_EPOCH - NEEDLES
        if done % every == 0:
            gc.collect()
            now = process_time()
            out.print(
                f"{done:>9,} {_rss_mb():>5.0f} MB {(now - spent) / every * 1e3:>11.2f} ms"
                f" {(epochs.recorded - recorded) / every:>17.0f} B"
            )
            spent, recorded = process_time(), epochs.recorded


def _needle(number: int) -> Event:
    made = predictions_of(f"f{number}")
    needle = samples.needle_found(f"f{number}")
    return needle.model_copy(update={"region_id": made.region_ids()[0]})


def _events(number: int) -> list[Event]:
    made = predictions_of(f"f{number}")
    embedded: FrameEmbedded = samples.frame_embedded(made)
    return [embedded, _match(made, number)] if number % REFERENCE == 0 else [embedded]


def _match(made: PredictionsMade, number: int) -> FrameMatched:
    """The annotated frame, right or wrong in turn."""
    wrong = samples.frame_matched(made.frame_id)
    regions = tuple(made.region_ids()[:1])
    if number // REFERENCE % 2:
        truth = {"matched": (1,), "errors": (None,), "ground_truths": (1, 0, 1, 0)}
        return samples.with_rows(wrong, regions=regions, **truth)
    return samples.with_rows(wrong, regions=regions)


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=100_000)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(main(given.frames, given.every))
