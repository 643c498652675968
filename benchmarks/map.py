# ruff: noqa: D103  # a script: its names say what they do
"""How long COCO's numbers take, once over and in rolling use, beside the libraries there are.

    make bench-map

Synthetic data of the size of COCO val2017: 5,000 images, 80 categories, 40,416 ground truths (1%
crowd) and 157,258 detections. `once`: from arrays in memory to the twelve numbers. `rolling`: the
same images in 50 batches of 100, the twelve numbers after each. Every contender gets what it reads
fastest, prepared beforehand; every contender's numbers are compared with pycocotools'. `held`: what
ten million detections take in memory, and a batch of 100 images on top of them in time.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import faster_coco_eval
import hotcoco
import numpy as np
import ultrafast_pycocotools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.live import Live
from rich.table import Table

from benchmarks.map_data import CATEGORIES, Data, Gazeloop, Stats, synthetic
from services.domain.detection.matching import match_groups


def matching_rate(data: Data) -> float:
    """Detections per second, for all 40 settings."""
    _, detections, annotations = Gazeloop.grouped(data)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        match_groups(detections, annotations)
        seconds.append(time.process_time() - started)
    return float(detections.scores.size / min(seconds))


def gazeloop_once(data: Data) -> Stats:
    state = Gazeloop()
    state.add(data)
    return state.numbers()


def gazeloop_rolling(batches: Sequence[Data]) -> Iterator[Stats]:
    state = Gazeloop()
    for batch in batches:
        state.add(batch)
        yield state.numbers()


def dataset(data: Data) -> dict[str, Any]:
    """COCO's own form of the ground truth."""
    objects = zip(
        data.truth_image, data.truth_category, data.truths.tolist(), data.crowd, strict=True
    )
    annotations = [
        {
            "id": n + 1,
            "image_id": int(image),
            "category_id": int(category),
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": int(crowd),
        }
        for n, (image, category, box, crowd) in enumerate(objects)
    ]
    return {
        "info": {},
        "images": [{"id": i, "width": 640, "height": 640} for i in range(data.first, data.last)],
        "categories": [{"id": k, "name": f"{k:02d}"} for k in range(CATEGORIES)],
        "annotations": annotations,
    }


def results(data: Data) -> list[dict[str, Any]]:
    """COCO's own form of the detections."""
    rows = zip(data.image, data.category, data.boxes.tolist(), data.scores.tolist(), strict=True)
    return [
        {"image_id": int(i), "category_id": int(k), "bbox": box, "score": score}
        for i, k, box, score in rows
    ]


def seven(data: Data) -> Any:
    """(N, 7) rows of image, box, score, category."""
    return np.column_stack([data.image, data.boxes, data.scores, data.category])


def finished(evaluation: Any) -> Stats:
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return np.array(evaluation.stats[:12], np.float64)


def plain(truth_of: Any, evaluation_of: Any) -> Callable[[Any], Callable[[], Stats]]:
    """A contender with pycocotools' interface; preparing it builds the dictionaries."""

    def prepare(data: Data) -> Callable[[], Stats]:
        truths, found = dataset(data), results(data)

        def run() -> Stats:
            truth = truth_of()
            truth.dataset = truths
            truth.createIndex()
            return finished(evaluation_of(truth, truth.loadRes(found), "bbox"))

        return run

    return prepare


def hot(data: Data) -> Callable[[], Stats]:
    """Hotcoco from arrays."""
    truths, found = dataset(data), seven(data)
    areas = data.truths[:, 2] * data.truths[:, 3]

    def run() -> Stats:
        truth = hotcoco.COCO.from_arrays(
            truths["images"],
            truths["categories"],
            data.truth_image,
            data.truth_category,
            data.truths,
            area=areas,
            iscrowd=data.crowd.astype(np.int64),
        )
        return finished(hotcoco.COCOeval(truth, truth.load_res(found), "bbox"))

    return run


def hot_streaming(batches: Sequence[Data]) -> Iterator[Stats]:
    """Hotcoco's StreamingEval; finalizing one uses it up, so a copy of it is read."""
    import copy  # noqa: PLC0415

    prepared = [(dataset(batch), seven(batch)) for batch in batches]
    yield np.zeros(12)  # what is above is not timed
    stream = hotcoco.StreamingEval(prepared[0][0]["categories"], iou_type="bbox")
    for truths, found in prepared:
        stream.update(truths["images"], truths["annotations"], found)
        evaluation = copy.copy(stream).finalize()
        evaluation.accumulate()
        evaluation.summarize()
        yield np.array(evaluation.stats[:12], np.float64)


def timed(run: Callable[[], Stats], repeats: int) -> tuple[float, Stats]:
    """The best of some runs, in seconds, and what came out."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            stats = run()
        best = min(best, time.perf_counter() - started)
    return best, stats


def scratch(
    prepare: Callable[[Data], Callable[[], Stats]], data: Data, ends: Sequence[int]
) -> float:
    """Seconds of evaluating from scratch up to each of these ends."""
    return sum(timed(prepare(data.part(0, end)), 1)[0] for end in ends)


def streamed(steps: Iterator[Stats], *, warm: bool) -> tuple[float, Stats]:
    """Seconds of a stream of results, and the last of them."""
    with contextlib.redirect_stdout(io.StringIO()):
        if warm:
            next(steps)
        started = time.perf_counter()
        for stats in steps:
            last = stats
    return time.perf_counter() - started, last


class Board:
    """The table, filled in as the times come."""

    def __init__(self, live: Live, updates: int, size: int) -> None:
        self._live = live
        self._title = f"{updates} updates of {size} images"
        self._rows: dict[str, list[str]] = {}

    def put(self, name: str, column: int, text: str) -> None:
        self._rows.setdefault(name, ["", "", ""])[column] = text
        table = Table("total seconds", "once", self._title, "differs from pycocotools by")
        for key, cells in self._rows.items():
            table.add_row(key, *cells)
        self._live.update(table, refresh=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    size = args.images // args.updates
    data = synthetic(args.images, args.images * 40416 // 5000, args.images * 157258 // 5000)
    batches = [data.part(i * size, (i + 1) * size) for i in range(args.updates)]
    ends = [(i + 1) * size for i in range(args.updates)]
    started = time.perf_counter()
    gazeloop_once(data.part(0, size))
    console = Console()
    console.print(f"compiled or loaded from the cache in {time.perf_counter() - started:.1f} s")
    console.print(
        f"matching: {matching_rate(data) / 1e6:.1f} million detections per second, one core"
    )
    run = [sys.executable, "-m", "benchmarks.map_memory"]
    # A process of its own, so that its memory is its own.
    completed = subprocess.run(run, check=True, capture_output=True, text=True)  # noqa: S603  # ours
    console.print(completed.stdout.strip())
    contenders = {
        "faster-coco-eval": plain(faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
        "ultrafast-pycocotools": plain(ultrafast_pycocotools.COCO, ultrafast_pycocotools.COCOeval),
        "hotcoco": hot,
    }
    with Live(console=console, auto_refresh=False) as live:
        board = Board(live, args.updates, size)
        once, reference = timed(plain(COCO, COCOeval)(data), 1)
        board.put("pycocotools", 0, f"{once:.2f}")
        # It takes a time that grows with the images: half the updates' work, on average.
        board.put("pycocotools", 1, f"about {once * (args.updates + 1) / 2:.0f}")
        for name, prepare in contenders.items():
            best, stats = timed(prepare(data), args.repeats)
            board.put(name, 0, f"{best:.3f}")
            board.put(name, 2, f"{np.abs(stats - reference).max():.0e}")
        best, stats = timed(lambda: gazeloop_once(data), args.repeats)
        board.put("gazeloop", 0, f"{best:.3f}")
        board.put("gazeloop", 2, f"{np.abs(stats - reference).max():.0e}")
        runs = [streamed(gazeloop_rolling(batches), warm=False) for _ in range(args.repeats)]
        seconds = min(seconds for seconds, _ in runs)
        board.put("gazeloop", 1, f"{seconds:.3f}")
        streams = [streamed(hot_streaming(batches), warm=True) for _ in range(args.repeats)]
        seconds, stats = min(streams, key=lambda run: run[0])
        board.put("hotcoco StreamingEval", 1, f"{seconds:.2f}")
        board.put("hotcoco StreamingEval", 2, f"{np.abs(stats - reference).max():.0e}")
        for name, prepare in reversed(contenders.items()):
            board.put(name, 1, f"{scratch(prepare, data, ends):.2f}")


if __name__ == "__main__":
    main()
