"""Cache of figures, valid until a frame of the subset changes, or leaves or enters the window."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from services.domain.detection.coco import METRICS, BoolArray, FloatArray, IntArray
from services.domain.metrics.match_table import EARLIEST, LATEST, microseconds
from services.domain.metrics.match_tables import Bounds, MatchTables
from services.domain.metrics.subsets import Subset


@dataclass(frozen=True)
class Window:
    """The frames captured within `length` before `until`; without a length, all frames."""

    length: timedelta | None = None
    until: datetime | None = None

    def bounds(self) -> Bounds:
        """The exclusive start and inclusive end, in microseconds since the epoch."""
        if self.length is None or self.until is None:
            return EARLIEST, LATEST
        until = microseconds(self.until)
        return until - round(self.length / timedelta(microseconds=1)), until


EVER = Window()


@dataclass
class _Kept:
    """Cached figures of one subset and window length, by curve number."""

    bounds: Bounds
    known: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    numbers: FloatArray = field(default_factory=lambda: np.zeros((0, len(METRICS))))
    shown: FloatArray = field(default_factory=lambda: np.zeros((0, 8)))
    counts: IntArray = field(default_factory=lambda: np.zeros((0, 3), np.int64))

    def grow(self, curves: int) -> None:
        more = curves - self.known.size
        if more:
            for name in ("known", "numbers", "shown", "counts"):
                held = getattr(self, name)
                added = np.zeros((more, *held.shape[1:]), held.dtype)
                setattr(self, name, np.concatenate([held, added]))


class KeptFigures:
    """Computes figures from tables, and caches them.

    Attributes
    ----------
    reads : how many times a table was read so far
    """

    def __init__(self, tables: MatchTables, score: float) -> None:
        self.reads = 0
        self._tables = tables
        self._score = score
        self._kept: dict[tuple[Subset, timedelta | None], _Kept] = {}

    def forget(self, curves: IntArray, parts: IntArray) -> None:
        """Invalidate the figures of curves whose frames of these parts changed, part p as bit p."""
        for (subset, _), kept in self._kept.items():
            kept.grow(len(self._tables))
            kept.known[curves] &= parts & subset.word == 0

    def read(
        self, curves: IntArray, subset: Subset, window: Window
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """(N, 12), (N, 8) and (N, 3) figures of these curves; see `curve_kernels.figures`."""
        bounds = window.bounds()
        kept = self._kept.setdefault((subset, window.length), _Kept(bounds))
        kept.grow(len(self._tables))
        if bounds != kept.bounds:
            known = np.flatnonzero(kept.known)
            kept.known[self._tables.moved(known, subset.word, kept.bounds, bounds)] = False
            kept.bounds = bounds
        stale = curves[~kept.known[curves]]
        if stale.size:
            figures = self._tables.figures(stale, subset.word, bounds, self._score)
            for held, new in zip((kept.numbers, kept.shown, kept.counts), figures, strict=True):
                held[stale] = new[stale]
            kept.known[stale] = True
            self.reads += stale.size
        return kept.numbers[curves], kept.shown[curves], kept.counts[curves]
