"""What an evaluator with ten million detections of one category costs: changes, figures, memory.

    make bench-scale

One category, about three detections a frame, a fifth of the frames in the last seven days, some in
the last hour; scores have three digits, so that ties are many. The same is measured with a
hundredth of the detections, because a change should cost the same. Times are CPU time of the thread
that works, so that other processes on the machine count little.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

from services.contracts.identity import Category, DetectorId, FrameId, VehicleId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.index_layout import microseconds
from services.domain.metrics.kept_figures import EVER, Window
from services.domain.metrics.match_columns import Cells, NamedColumns, Names
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.evaluator.live.logic import WINDOWS

_DETECTOR, _CATEGORY = DetectorId("d@1"), Category("car")
_CURVE = (_DETECTOR, _CATEGORY)
_PER_FRAME = 3.15
_END = datetime(2026, 5, 4, tzinfo=UTC)
_BATCH = 128
_REPEATS = 30
_ALL = (1 << 40) - 1


def cells(rng: np.random.Generator, captured: np.ndarray, revision: int = 1) -> Cells:
    """Matches whose detections are right at more thresholds the higher their score."""
    sizes = rng.poisson(_PER_FRAME, captured.size)
    starts = np.append(0, np.cumsum(sizes))
    count = int(starts[-1])
    match = np.repeat(np.arange(captured.size), sizes)
    scores = rng.beta(1.2, 2, count).round(3)
    scores = scores[np.lexsort((-scores, match))]
    thresholds = (1 << rng.normal(14 * scores - 2, 3).clip(0, 10).astype(np.int64)) - 1
    area = 10 * rng.integers(1, 4, count)
    truths = np.zeros((captured.size, 4), np.int64)
    truths[:, 0] = rng.poisson(2, captured.size)
    truths[np.arange(captured.size), rng.integers(1, 4, captured.size)] = truths[:, 0]
    return Cells(
        part=rng.integers(0, 3, captured.size),
        captured=captured,
        revision=np.full(captured.size, revision),
        truths=truths,
        starts=starts,
        scores=scores,
        overlaps=rng.uniform(0.5, 1, count),
        matched=(thresholds | thresholds << area).astype(np.uint64),
        ignored=(_ALL & ~1023 & ~(1023 << area)).astype(np.uint64),
        errors=rng.integers(0, 6, count),
    )


def named(frames: np.ndarray, contents: Cells) -> NamedColumns:
    """The matches of these frames, by number."""
    one = np.zeros(frames.size, np.int64)
    names = Names([FrameId(f"{k:09d}") for k in frames.tolist()], np.arange(frames.size))
    vehicle = Names([VehicleId("v1")], one)
    return NamedColumns(Names([_DETECTOR], one), Names([_CATEGORY], one), names, vehicle, contents)


class Loaded:
    """A state with many detections, and what then happens to it."""

    def __init__(self, detections: int) -> None:
        self._rng = np.random.default_rng(0)
        self._frames = int(detections / _PER_FRAME)
        self._last = microseconds(_END)
        ages = 35 * 86400e6 * np.arange(self._frames)[::-1] / self._frames
        contents = cells(self._rng, self._last - ages.astype(np.int64))
        self.detections = contents.scores.size
        columns = named(np.arange(self._frames), contents)
        self.state = MatchState(OperatingScores(0.5), tuple(WINDOWS.values()))
        self.load_s = timed(lambda: self.state.add_named(columns))

    def new(self) -> NamedColumns:
        """The next frames."""
        frames = self._frames + np.arange(_BATCH)
        self._frames += _BATCH
        self._last += 1_000_000
        return named(frames, cells(self._rng, np.full(_BATCH, self._last)))

    def corrected(self) -> NamedColumns:
        """Frames of any time, with other contents."""
        frames = self._rng.integers(0, self._frames, _BATCH)
        ages = self._rng.integers(0, 30 * 86400 * 10**6, _BATCH)
        return named(frames, cells(self._rng, self._last - ages, revision=2))

    @property
    def until(self) -> datetime:
        """The latest capture time."""
        return _END + timedelta(microseconds=self._last - microseconds(_END))

    def views(self) -> Iterator[tuple[Subset, Window]]:
        """Every subset, over all time and within every window, as the evaluator asks."""
        for subset in Subset:
            yield subset, EVER
            for length in WINDOWS.values():
                yield subset, Window(length, self.until)


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of this thread."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def spread(seconds: list[float]) -> str:
    """Median and maximum."""
    return f"{1e3 * np.median(seconds):.2f} ({1e3 * max(seconds):.2f})"


def measure(detections: int) -> dict[str, str]:
    """The costs with this number of detections, by what is measured."""
    loaded = Loaded(detections)
    state = loaded.state
    added, corrected, slid = list[float](), list[float](), list[float]()
    one_view, all_views = list[float](), list[float]()
    for _ in range(_REPEATS):
        for columns, seconds in ((loaded.new(), added), (loaded.corrected(), corrected)):
            seconds.append(timed(partial(state.add_named, columns)))
        views = list(loaded.views())
        slid.append(timed(partial(state.slide, loaded.until)))
        took = [timed(partial(state.figures, _CURVE, *view)) for view in views]
        one_view.append(max(took))
        all_views.append(sum(took))
    return {
        "loading, s": f"{loaded.load_s:.2f}",
        f"{_BATCH} new matches, ms": spread(added),
        f"{_BATCH} corrected matches, ms": spread(corrected),
        "sliding the windows, ms": spread(slid),
        "figures of the slowest subset and window, ms": spread(one_view),
        f"figures of all {len(views)} subsets and windows, ms": spread(all_views),
        "bytes a detection, all subsets and windows": f"{state.nbytes / loaded.detections:.1f}",
        "intervals' copy, ms": f"{1e3 * timed(state.snapshot):.0f}",
    }


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detections", type=int, default=10_000_000)
    args = parser.parse_args()
    sizes = (args.detections // 100, args.detections)
    measure(20_000)  # everything is compiled and loaded by now
    columns = [measure(size) for size in sizes]
    table = Table("median (maximum) of CPU time", *(f"{size:,} detections" for size in sizes))
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
