"""All matches, per detector and category, and what any set of their frames amounts to.

This is what the evaluator holds. Nothing in it is computed before it is asked for, and asking
again costs nothing where nothing has changed: a category's figures on a subset are kept until a
frame of that subset changes, or leaves or enters the window.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from services.contracts.events import FrameMatched
from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.average_precision import Figures, figures
from services.domain.frame_order import FrameOrder
from services.domain.match_table import MatchTable, microseconds
from services.domain.subsets import Subset

Curve = tuple[DetectorId, Category]


@dataclass(frozen=True)
class Window:
    """Frames captured in the time up to `until`; without a length, all of them."""

    length: timedelta | None = None
    until: datetime | None = None

    def bounds(self) -> tuple[int | None, int | None]:
        """After and up to when, in microseconds of the epoch."""
        if self.length is None or self.until is None:
            return None, None
        until = microseconds(self.until)
        return until - round(self.length / timedelta(microseconds=1)), until


EVER = Window()


@dataclass
class _Kept:
    """Figures, and the window that they hold for."""

    figures: Figures
    since: int | None
    until: int | None


@dataclass
class _Category:
    table: MatchTable = field(default_factory=MatchTable.empty)
    kept: dict[tuple[Subset, timedelta | None], _Kept] = field(default_factory=dict)

    def change(self, table: MatchTable, parts: int) -> None:
        self.table = table
        for key in [k for k in self.kept if any(parts >> part & 1 for part in k[0].parts)]:
            del self.kept[key]

    def figures(self, subset: Subset, window: Window, score: float) -> Figures:
        since, until = window.bounds()
        key = (subset, window.length)
        kept = self.kept.get(key)
        if kept is None or not self._same_frames(subset, kept, since, until):
            mask = self.table.mask(subset.parts, since, until)
            kept = _Kept(figures(self.table, mask, score), since, until)
            self.kept[key] = kept
        return kept.figures

    def _same_frames(
        self, subset: Subset, kept: _Kept, since: int | None, until: int | None
    ) -> bool:
        if (kept.since, kept.until) == (since, until):
            return True
        before = self.table.mask(subset.parts, kept.since, kept.until)
        return bool((before == self.table.mask(subset.parts, since, until)).all())


class MatchState:
    """Matches by (detector, category, frame); of each, the highest revision counts.

    Parameters
    ----------
    operating_score : from which score on a detection is shown
    """

    def __init__(self, operating_score: float) -> None:
        self._score = operating_score
        self._frames = FrameOrder()
        self._categories: dict[Curve, _Category] = {}

    def add(self, matches: Iterable[FrameMatched]) -> set[Curve]:
        """Take matches in, in any order and any number of times; which curves changed.

        A match with neither detections nor ground truths says that nothing is left of its frame.
        """
        latest: dict[Curve, dict[FrameId, FrameMatched]] = {}
        for match in matches:
            frames = latest.setdefault((match.detector, match.category), {})
            held = frames.get(match.frame_id)
            if held is None or held.revision < match.revision:
                frames[match.frame_id] = match
        frame_ids = sorted({frame_id for frames in latest.values() for frame_id in frames})
        numbers = dict(zip(frame_ids, self._frames.numbers(frame_ids).tolist(), strict=True))
        changed = set()
        for curve, frames in latest.items():
            batch = [frames[i] for i in sorted(frames)]
            table = MatchTable.of(batch, [numbers[match.frame_id] for match in batch])
            if self._join(curve, table):
                changed.add(curve)
        return changed

    def remove(self, frame_ids: Iterable[FrameId], curve: Curve | None = None) -> set[Curve]:
        """Forget frames, everywhere or of one curve; which curves changed."""
        numbers = self._frames.known(frame_ids)
        changed = set()
        for key, category in self._categories.items():
            if curve in (None, key):
                table, parts = category.table.without(numbers)
                category.change(table, parts)
                if parts:
                    changed.add(key)
        return changed

    def merge(self, other: "MatchState") -> None:
        """Take in all that another state holds: a shard's, or one restored."""
        numbers = self._frames.numbers(other.frame_ids())
        for curve, table in other.tables():
            rows = table.rows.copy()
            rows["frame"] = numbers[rows["frame"]]
            self._join(curve, MatchTable(rows, table.detections))

    def tables(self) -> Iterator[tuple[Curve, MatchTable]]:
        """Every curve's table; its rows name frames by their place in `frame_ids`."""
        return ((curve, category.table) for curve, category in self._categories.items())

    def frame_ids(self) -> list[FrameId]:
        """Every frame ever seen, by number."""
        return self._frames.frame_ids()

    def figures(self, curve: Curve, subset: Subset, window: Window = EVER) -> Figures:
        """One category of one detector on a subset's frames within a window."""
        return self._categories[curve].figures(subset, window, self._score)

    def curves(self) -> list[Curve]:
        """What there are figures of."""
        return sorted(self._categories)

    def detectors(self) -> list[DetectorId]:
        return sorted({detector for detector, _ in self._categories})

    def of(
        self, detector: DetectorId, subset: Subset, window: Window = EVER
    ) -> dict[Category, Figures]:
        """All of a detector's categories on a subset's frames within a window."""
        return {c: self.figures((d, c), subset, window) for d, c in self.curves() if d == detector}

    def frame_count(self, detector: DetectorId, subset: Subset, window: Window = EVER) -> int:
        """How many frames of the subset, within the window, have a match of the detector."""
        seen = np.zeros(len(self._frames), np.bool_)
        for (name, _), category in self._categories.items():
            if name == detector:
                mask = category.table.mask(subset.parts, *window.bounds())
                seen[category.table.rows["frame"][mask]] = True
        return int(np.count_nonzero(seen))

    def _join(self, curve: Curve, table: MatchTable) -> int:
        category = self._categories.setdefault(curve, _Category())
        joined, parts = category.table.join(table, self._frames.ranks)
        category.change(joined, parts)
        return parts

    @property
    def nbytes(self) -> int:
        """Size of the tables, in bytes."""
        return sum(category.table.nbytes for category in self._categories.values())
