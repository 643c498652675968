"""How soon a killed evaluator is back, and how soon it shows what comes then.

    python -m benchmarks.rebuild --frames 100000

Frames are as full as COCO's: 8 ground truths and 31 detections, of 80 categories, which makes ten
matches of a frame; with `--detections 8`, as full as a fleet's. They are written to a real mongod
as fp_miner writes them. With `--folder`, they stay there and are only read the next time.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client import REGISTRY
from rich.console import Console

from benchmarks.map_data import DETECTOR, Gazeloop, synthetic
from services.contracts import identity, version_1
from services.contracts.events import ErrorType, Split
from services.contracts.identity import Category, DriveId, FrameId, VehicleId
from services.contracts.matches import CategoryMatched, FrameMatched
from services.domain.detection.coco import whole
from services.domain.detection.matching import match_groups
from services.evaluator.live.service import EvaluateMatches
from services.runtime.clock import SystemClock
from services.runtime.embedded.mongod import Mongod
from services.runtime.settings import Settings
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import connect

_START = datetime(2026, 5, 4, tzinfo=UTC)
_FRAMES_AT_ONCE = 1000
_OF_COCO = 157258 / 5000
_TRUTHS = 40416 / 157258
"""Per detection."""
_NEW_FRAMES = 100
_BETWEEN_S = 0.25


def matches(first: int, last: int, per_frame: float = _OF_COCO) -> Iterator[CategoryMatched]:
    """Every match of these frames; what is wrong counts as background.

    Parameters
    ----------
    per_frame : the mean number of detections
    """
    images = last - first
    count = round(images * per_frame)
    data = synthetic(images, round(count * _TRUTHS), count, seed=first)
    keys, detections, annotations = Gazeloop.grouped(data)
    groups = match_groups(detections, annotations)
    columns: list[Sequence[Any]] = [
        [tuple(box) for box in detections.boxes[groups.source].tolist()],
        detections.scores[groups.source].tolist(),
        whole(groups.matched),
        whole(groups.ignored),
        groups.overlaps.tolist(),
    ]
    for k, key in enumerate(keys.tolist()):
        own = slice(groups.starts[k], groups.starts[k + 1])
        cells = [tuple(column[own]) for column in columns]
        truths = tuple(groups.ground_truths[k].tolist())
        yield _match(first + key % images, key // images, cells, truths)


def _match(
    number: int,
    category: int,
    cells: Sequence[tuple[Any, ...]],
    truths: tuple[int, int, int, int],
) -> CategoryMatched:
    frame_id, name = FrameId(f"frame-{number:08d}"), Category(f"category {category:02d}")
    boxes, scores, matched, ignored, overlaps = cells
    found = [(name, box, score) for box, score in zip(boxes, scores, strict=True)]
    right = [(m | i) & 1 for m, i in zip(matched, ignored, strict=True)]
    return CategoryMatched(
        frame_id=frame_id,
        detector=DETECTOR,
        category=name,
        revision=3,
        split=Split.HAYSTACK if number % 10 else Split.REFERENCE,
        shortlisted=number % 10 == 1,
        vehicle_id=VehicleId(f"vehicle-{number % 40}"),
        drive_id=DriveId(f"drive-{number // 100}"),
        captured_at=_START + timedelta(seconds=number),
        regions=tuple(identity.region_ids(frame_id, DETECTOR, found)),
        bboxes=boxes,
        scores=scores,
        matched=matched,
        ignored=ignored,
        overlaps=overlaps,
        errors=tuple(None if good else ErrorType.BACKGROUND for good in right),
        true_categories=(None,) * len(scores),
        ground_truths=truths,
    )


def _published(matches: Iterable[CategoryMatched]) -> list[FrameMatched]:
    """The events that say this, one per frame."""
    by_frame: dict[FrameId, list[version_1.FrameMatched]] = {}
    for match in matches:
        by_frame.setdefault(match.frame_id, []).append(version_1.FrameMatched.of(match))
    return [version_1.joined(groups[0], groups) for groups in by_frame.values()]


async def fill(store: MongoMatchStore, frames: int, per_frame: float) -> None:
    """Write the matches of so many frames."""
    await store.prepare()
    for first in range(0, frames, _FRAMES_AT_ONCE):
        made = matches(first, min(first + _FRAMES_AT_ONCE, frames), per_frame)
        await store.record(_published(made))


async def rebuilt(store: MongoMatchStore, count: int, console: Console) -> EvaluateMatches:
    """A new evaluator that has read the record; prints how long it took."""
    evaluator = EvaluateMatches(matches=store, settings=Settings(), clock=SystemClock())
    started, cpu = time.perf_counter(), time.process_time()
    await evaluator.rebuild()
    read, cpu = time.perf_counter(), time.process_time() - cpu
    await evaluator.refresh()
    shown = time.perf_counter()
    console.print(
        f"{count:,} frames: read again in {read - started:.2f} s ({cpu:.2f} s of CPU, mongod's not"
        f" counted), and mAP shown after another {shown - read:.2f} s"
    )
    return evaluator


async def freshness(evaluator: EvaluateMatches, frames: int) -> list[float]:
    """Seconds from a new frame's matches to gauges that show them, with all that goes on beside."""
    every_s = Settings().evaluate_every_s
    ages: list[float] = []
    handed_over: dict[float, float] = {}
    watching = asyncio.create_task(_watch(handed_over, ages))
    in_background = [
        asyncio.create_task(_over_and_over(work, every_s))
        for work in (evaluator.refresh, evaluator.assess)
    ]
    before = _frames_shown()
    for number in range(_NEW_FRAMES):
        handed_over[before + number + 1] = time.perf_counter()
        await evaluator.run(_published(matches(frames + number, frames + number + 1)))
        await asyncio.sleep(_BETWEEN_S)
    await watching
    for task in in_background:
        task.cancel()
    return sorted(ages)


async def _watch(handed_over: Mapping[float, float], ages: list[float]) -> None:
    while len(ages) < _NEW_FRAMES:
        await asyncio.sleep(0.005)
        shown = _frames_shown()
        now = time.perf_counter()
        ages += [
            now - at for number, at in list(handed_over.items())[len(ages) :] if number <= shown
        ]


async def _over_and_over(work: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await work()


def _frames_shown() -> float:
    labels = {"detector": DETECTOR, "subset": "all"}
    return REGISTRY.get_sample_value("gazeloop_evaluated_frames", labels) or 0.0


async def measure(frames: int, per_frame: float, repeats: int, folder: Path) -> None:
    """Print how long each of some rebuilds took, and how soon a frame is shown after the last.

    The first one also compiles, or loads what is compiled.
    """
    console = Console(width=200)
    with Mongod(folder) as mongod:
        database = connect(mongod.url, "rebuild")
        store = MongoMatchStore(database)
        if not await database["matches"].estimated_document_count():
            started = time.perf_counter()
            await fill(store, frames, per_frame)
            console.print(f"written in {time.perf_counter() - started:.0f} s")
        count = await database["matches"].estimated_document_count()
        for _ in range(repeats):
            evaluator = await rebuilt(store, count, console)
        await database.client.close()
    ages = await freshness(evaluator, frames)
    console.print(
        f"{len(ages)} new frames, one every {_BETWEEN_S} s: shown after"
        f" {ages[len(ages) // 2]:.2f} s (median), {ages[-1]:.2f} s at most"
    )


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--detections", type=float, default=_OF_COCO, help="per frame")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="of a mongod; thrown away unless it is named")
    args = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        asyncio.run(measure(args.frames, args.detections, args.repeats, folder))


if __name__ == "__main__":
    main()
