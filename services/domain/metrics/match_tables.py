"""The tables of all curves, a curve being one detector and category, side by side.

Many are joined and read at once, by all cores: a table of some hundred detections takes
microseconds, which is less than it takes to hand it over.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from services.domain.detection.coco import METRICS, BoolArray, FloatArray, IntArray
from services.domain.metrics.match_table import Batch, MatchTable

Bounds = tuple[int, int]
"""After and up to when frames were captured, in microseconds of the epoch."""
_CORES: Final = len(os.sched_getaffinity(0))
_THREADS: Final = ThreadPoolExecutor(_CORES, thread_name_prefix="tables")
_FEW: Final = 8


class MatchTables:
    """Tables by number."""

    def __init__(self) -> None:
        from services.domain.metrics import curve_kernels, table_kernels  # noqa: PLC0415  # see compiled.py

        self._tables = table_kernels
        self._curves = curve_kernels
        self._arrays: tuple[Any, Any] = table_kernels.no_tables()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, k: int) -> MatchTable:
        return MatchTable(*self._tables.table(*self._arrays, k))

    def __setitem__(self, k: int, table: MatchTable) -> None:
        self._tables.put(*self._arrays, k, table.rows, table.detections)

    def copy(self) -> "MatchTables":
        """The same tables; an array is never written to once it is in one, so they share them."""
        other = MatchTables()
        for k in range(len(self)):
            other[other.append()] = self[k]
        return other

    def append(self) -> int:
        """One more, with nothing in it; its number."""
        self._tables.append(*self._arrays)
        self._count += 1
        return self._count - 1

    def join(self, curves: IntArray, batch: Batch, ranks: IntArray) -> IntArray:
        """Join each of a batch's tables with one of these, the higher revision of a frame wins.

        Parameters
        ----------
        curves : (B,) int64, with which one
        ranks : (F,) the rank of every frame number

        Returns
        -------
        (B,) the parts that changed in each, part p as bit p.
        """
        changed = np.zeros(curves.size, np.int64)
        arrays = (batch.rows, batch.row_bounds, batch.detections, batch.bounds, ranks, changed)
        _by_all_cores(
            np.arange(curves.size),
            lambda some: self._tables.join(*self._arrays, curves, some, *arrays),
        )
        return changed

    def figures(
        self, curves: IntArray, parts: int, bounds: Bounds, score: float
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Figures of some curves on the rows of some parts and of a window.

        Returns
        -------
        numbers, shown, counts : (C, 12), (C, 8) and (C, 3) by table, see `curve_kernels.figures`;
            those of other curves are not set
        """
        out = (
            np.empty((len(self), len(METRICS))),
            np.empty((len(self), 8)),
            np.empty((len(self), 3), np.int64),
        )
        _by_all_cores(
            curves,
            lambda some: self._curves.figures(*self._arrays, some, parts, *bounds, score, *out),
        )
        return out

    def moved(self, curves: IntArray, parts: int, before: Bounds, after: Bounds) -> IntArray:
        """Those of some curves in which a row of some parts enters or leaves a moving window."""
        out: BoolArray = np.zeros(len(self), np.bool_)
        _by_all_cores(
            curves,
            lambda some: self._curves.moved(self._arrays[0], some, parts, before, after, out),
        )
        return curves[out[curves]]

    def seen_frames(self, curves: IntArray, parts: int, bounds: Bounds, frames: int) -> BoolArray:
        """(frames,) which ones, by number, have a match in any of some curves."""
        seen: BoolArray = np.zeros(frames, np.bool_)
        self._curves.seen_frames(self._arrays[0], curves, parts, *bounds, seen)
        return seen

    @property
    def nbytes(self) -> int:
        """Size of what is held, in bytes."""
        return sum(self[k].nbytes for k in range(len(self)))


def _by_all_cores(items: IntArray, work: Callable[[IntArray], None]) -> None:
    """Share items out; the work lets go of Python's lock, and writes to places of its own."""
    if items.size < _FEW:
        work(items)
        return
    others = [_THREADS.submit(work, items[k::_CORES]) for k in range(1, _CORES)]
    work(items[::_CORES])
    for other in others:
        other.result()
