"""Cache of figures, valid until a frame of the subset changes, or leaves or enters the window."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.detection.coco import METRICS
from services.domain.metrics.index_layout import View
from services.domain.metrics.match_index import MatchIndex


@dataclass(frozen=True)
class Window:
    """The frames captured within `length` before `until`; without a length, all frames."""

    length: timedelta | None = None
    until: datetime | None = None


EVER: Final = Window()


@dataclass
class _Kept:
    """Cached figures of one subset and window, by curve number."""

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
    """Computes figures from the index, and caches them.

    Attributes
    ----------
    reads : how many times the figures of a curve were computed so far
    """

    def __init__(self, index: MatchIndex) -> None:
        self.reads = 0
        self._index = index
        self._kept: dict[View, _Kept] = {}

    def forget(self, changed: IntArray) -> None:
        """Invalidate what has changed: (C,) int64, by curve, see `View.changes`."""
        for view, kept in self._kept.items():
            kept.grow(changed.size)
            kept.known &= changed & view.changes == 0

    def read(self, curves: IntArray, view: View) -> tuple[FloatArray, FloatArray, IntArray]:
        """(N, 12), (N, 8) and (N, 3) figures of these curves; see `curve_kernels.figures`."""
        kept = self._kept.setdefault(view, _Kept())
        kept.grow(len(self._index))
        stale = curves[~kept.known[curves]]
        if stale.size:
            figures = self._index.figures(stale, view)
            for held, new in zip((kept.numbers, kept.shown, kept.counts), figures, strict=True):
                held[stale] = new[stale]
            kept.known[stale] = True
            self.reads += stale.size
        return kept.numbers[curves], kept.shown[curves], kept.counts[curves]
