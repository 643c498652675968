"""The tables of all curves; a curve is one detector and category.

One call joins or reads many tables, on all cores: a table of some hundred detections takes
microseconds, less than dispatching it to a thread.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from services.domain.detection.coco import METRICS, BoolArray, FloatArray, IntArray
from services.domain.metrics.match_table import Batch, MatchTable

Bounds = tuple[int, int]
"""Exclusive start and inclusive end of capture times, in microseconds since the epoch."""
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
        """A copy that shares the arrays: an array in a table is never modified."""
        other = MatchTables()
        for k in range(len(self)):
            other[other.append()] = self[k]
        return other

    def append(self) -> int:
        """Add an empty table; returns its number."""
        self._tables.append(*self._arrays)
        self._count += 1
        return self._count - 1

    def join(self, curves: IntArray, batch: Batch, ranks: IntArray) -> IntArray:
        """Join each table of a batch with a curve's table; the higher revision of a frame wins.

        Parameters
        ----------
        curves : (B,) int64, the table number for each table of the batch
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
        """Figures of these curves on the rows within these parts and a window.

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
        """The curves in which a row of these parts enters or leaves a moving window."""
        out: BoolArray = np.zeros(len(self), np.bool_)
        _by_all_cores(
            curves,
            lambda some: self._curves.moved(self._arrays[0], some, parts, before, after, out),
        )
        return curves[out[curves]]

    def seen_frames(self, curves: IntArray, parts: int, bounds: Bounds, frames: int) -> BoolArray:
        """(frames,) bool, the frames that have a match in any of these curves."""
        seen: BoolArray = np.zeros(frames, np.bool_)
        self._curves.seen_frames(self._arrays[0], curves, parts, *bounds, seen)
        return seen

    @property
    def nbytes(self) -> int:
        """Size of the tables in bytes."""
        return sum(self[k].nbytes for k in range(len(self)))


def _by_all_cores(items: IntArray, work: Callable[[IntArray], None]) -> None:
    """Split the items over threads; `work` releases the GIL and writes to disjoint places."""
    if items.size < _FEW:
        work(items)
        return
    others = [_THREADS.submit(work, items[k::_CORES]) for k in range(1, _CORES)]
    work(items[::_CORES])
    for other in others:
        other.result()
