"""What a detector's detections on each frame add up to."""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from services.contracts.events import Split
from services.contracts.identity import Category, DetectorId, DriveId, FrameId, RegionId
from services.domain.missed.evidence import MIN_SCORE, NEAR_S, FrameSums, added_by
from services.domain.shortlists.scored_candidates import CaptureContext
from services.retriever.logic import FrameFacts
from services.runtime.settings import Settings


class _Sums(NamedTuple):
    """Of one category on one frame; see `FrameSums`."""

    uncertainty: float = 0.0
    small: float = 0.0
    shown: int = 0
    surest: tuple[float, RegionId] | None = None
    """Of the detections below the operating score, the one with the highest."""


_NOTHING = _Sums()
_ROW_BYTES = 500
_CATEGORY_BYTES = 150
"""1.7 kB of a frame with 20 detections in eight categories, measured with tracemalloc."""
_Captured = tuple[float, FrameId]
"""When a frame was captured; of equal times, by id."""


@dataclass(frozen=True, slots=True)
class _Row:
    context: CaptureContext
    is_listable: bool
    categories: Mapping[Category, _Sums]

    @property
    def captured(self) -> _Captured:
        return self.context.second, self.context.frame

    @property
    def nbytes(self) -> int:
        return _ROW_BYTES + _CATEGORY_BYTES * len(self.categories)


class FrameTable:
    """The frames that a detector has predicted, and what their detections add up to.

    Beyond `miss_table_bytes`, the frames that were captured first are dropped. The
    remaining ones depend only on the set of frames, so they are the same after a restart, and in
    every process.
    """

    def __init__(self, detector: DetectorId, settings: Settings) -> None:
        self._detector = detector
        self._settings = settings
        self._operating = settings.operating_scores
        self._rows: dict[FrameId, _Row] = {}
        self._drives: defaultdict[DriveId, list[_Captured]] = defaultdict(list)
        """Of each drive, its frames in the order of time."""
        self._oldest: list[_Captured] = []
        """A heap of all frames."""
        self._dropped: _Captured | None = None
        """The last frame that was dropped; those captured before it are not taken in again."""
        self._nbytes = 0
        self._reporting: Counter[Category] = Counter()
        """How many of the frames have detections of each category."""

    def __contains__(self, frame: FrameId) -> bool:
        return frame in self._rows

    @property
    def categories(self) -> AbstractSet[Category]:
        """The categories of the detections on these frames."""
        return self._reporting.keys()

    def operating_score(self, category: Category) -> float:
        """The score from which the detector's detections of a category are shown."""
        return self._operating.of(self._detector, category)

    def frames(self) -> set[FrameId]:
        """All frames."""
        return set(self._rows)

    def around(self, frames: Iterable[FrameId]) -> set[FrameId]:
        """Those of these frames that are here, and their neighbours along the drives.

        These are the frames whose evidence depends on these frames, and vice versa.
        """
        found = {frame for frame in frames if frame in self._rows}
        for frame in tuple(found):
            context = self._rows[frame].context
            if context.drive is not None:
                along, second = self._drives[context.drive], context.second
                first = bisect_left(along, second - NEAR_S, key=itemgetter(0))
                last = bisect_right(along, second + NEAR_S, key=itemgetter(0))
                found.update(neighbour for _, neighbour in along[first:last])
        return found

    def put(self, facts: Iterable[FrameFacts]) -> None:
        """Take in those of these frames that the detector has predicted, as they are now."""
        for item in facts:
            if self._detector not in item.detectors:
                continue  # an epoch has the frames of all detectors
            is_listable = item.split(
                self._settings.split_rule
            ) is Split.HAYSTACK and item.is_listable(count_copies=self._settings.count_copies)
            row = _Row(item.context, is_listable, self._sums(item))
            if self._dropped is None or row.captured > self._dropped:
                self._put(row)
        while self._nbytes > self._settings.miss_table_bytes:
            self._drop_oldest()

    def _put(self, row: _Row) -> None:
        frame, drive = row.context.frame, row.context.drive
        before = self._rows.get(frame)
        if before is None:
            heapq.heappush(self._oldest, row.captured)
            if drive is not None:
                insort(self._drives[drive], row.captured)
        if before is not None:
            self._uncount(before)
        self._nbytes += row.nbytes
        self._reporting.update(row.categories.keys())
        self._rows[frame] = row

    def _uncount(self, row: _Row) -> None:
        self._nbytes -= row.nbytes
        for category in row.categories:
            self._reporting[category] -= 1
            if not self._reporting[category]:
                del self._reporting[category]

    def _drop_oldest(self) -> None:
        self._dropped = heapq.heappop(self._oldest)
        row = self._rows.pop(self._dropped[1])
        self._uncount(row)
        if (drive := row.context.drive) is not None:
            self._drives[drive].remove(self._dropped)
            if not self._drives[drive]:
                del self._drives[drive]

    def is_listable(self, frame: FrameId) -> bool:
        """Whether a shortlist may hold the frame: it is haystack, and not reannotated."""
        return self._rows[frame].is_listable

    def context(self, frame: FrameId) -> CaptureContext:
        """Where and when the frame was captured."""
        return self._rows[frame].context

    def surest_unshown(self, frame: FrameId, category: Category) -> RegionId | None:
        """The detection with the highest score below the operating score."""
        surest = self._rows[frame].categories.get(category, _NOTHING).surest
        return surest[1] if surest is not None else None

    def sums(self, frames: Sequence[FrameId], categories: Sequence[Category]) -> FrameSums:
        """What the detections on these frames add up to, in these categories and in all."""
        rows = [self._rows[frame] for frame in frames]
        cells = np.array(
            [
                [row.categories.get(category, _NOTHING)[:3] for category in categories]
                for row in rows
            ],
            np.float64,
        ).reshape(len(rows), len(categories), 3)
        totals = np.array(
            [
                [
                    sum(item.uncertainty for item in row.categories.values()),
                    sum(item.small for item in row.categories.values()),
                ]
                for row in rows
            ],
            np.float64,
        ).reshape(len(rows), 2)
        return FrameSums(
            uncertainty=cells[:, :, 0],
            small=cells[:, :, 1],
            shown=cells[:, :, 2],
            all_uncertainty=totals[:, 0],
            all_small=totals[:, 1],
            drives=[row.context.drive for row in rows],
            seconds=np.array([row.context.second for row in rows]),
        )

    def _sums(self, facts: FrameFacts) -> dict[Category, _Sums]:
        found: dict[Category, _Sums] = {}
        for region, seen in facts.regions.items():
            detector, category = seen.detector_category
            if detector != self._detector or seen.score < MIN_SCORE:
                continue
            before, score = found.get(category, _NOTHING), seen.score
            uncertainty, small, is_shown = added_by(
                score, seen.bbox[2] * seen.bbox[3], facts.area, self.operating_score(category)
            )
            candidates = [] if is_shown else [(score, region)]
            if before.surest is not None:
                candidates.append(before.surest)
            found[category] = _Sums(
                before.uncertainty + uncertainty,
                before.small + small,
                before.shown + is_shown,
                max(candidates, default=None),
            )
        return found
