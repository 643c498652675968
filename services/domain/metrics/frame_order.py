"""Numbers frames, and keeps their order and their vehicles.

COCO breaks ties of score by image; here the tie-break is `frame_id`.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, islice
from typing import Final

import numpy as np

from services.contracts.identity import FrameHash, FrameId, VehicleId, frame_hash
from services.domain.arrays import AnyArray, BoolArray, IntArray
from services.domain.metrics.match_columns import Names

_SPACING: Final = 1 << 36
"""Distance between neighbouring ranks, unless there is less room."""
_STEP: Final = 1 << 18
"""Largest distance of an inserted rank to the one before: a drive's frames follow in a row."""
_ROOM: Final = 1 << 10
"""Fewest ranks between neighbours after some are spread again."""
_RUN: Final = 1024
"""Most ids in a run."""
_INSERTED_SHARE: Final = 1 / 64
"""Insert new frames one by one up to this share of all frames; a merge costs as much from there."""


class FrameOrder:
    """Gives each frame a permanent number, and keeps its rank in the order of ids.

    A frame's number never changes. Its rank may change when a frame is added, but the order of any
    two frames does not, so what is sorted by rank stays sorted. Ranks have gaps: a new frame takes
    one in between. Where there is none, the ranks around are spread, over as many frames as it
    takes to find room (list labelling: Dietz and Sleator, STOC 1987).
    """

    def __init__(self) -> None:
        self._numbers: dict[FrameId, int] = {}
        self._runs: list[list[FrameId]] = []
        self._firsts: list[FrameId] = []
        self._ranks = np.zeros(1024, np.int64)
        self._vehicles: dict[VehicleId, int] = {}
        self._taken_by = np.full(1024, -1, np.int32)
        self._prefixes = array("Q")
        """The first 8 bytes of each frame's hash, as far as they were needed."""

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def ranks(self) -> IntArray:
        """(F,) int64, the rank of each frame number."""
        return self._ranks[: len(self._numbers)]

    def frame_ids(self) -> list[FrameId]:
        """The frame ids in the order of their numbers."""
        return list(self._numbers)

    def numbers(self, frame_ids: Sequence[FrameId]) -> IntArray:
        """(N,) int64, the numbers of these frames; new frames get the next numbers."""
        known, numbers = len(self._numbers), self._numbers
        found = [numbers.setdefault(frame_id, len(numbers)) for frame_id in frame_ids]
        if len(numbers) > known:
            # From the end: skipping what is known would take longer the more that is.
            self._order([*islice(reversed(numbers), len(numbers) - known)][::-1])
        return np.array(found, np.int64)

    def among(self, frame_ids: Iterable[FrameId]) -> BoolArray:
        """(F,) bool, whether each frame number is of one of these frames; others are ignored."""
        found = np.zeros(len(self._numbers), np.bool_)
        found[[self._numbers[i] for i in frame_ids if i in self._numbers]] = True
        return found

    def numbers_of(self, hashes: AbstractSet[FrameHash]) -> IntArray:
        """(N,) int64, the numbers of those frames whose ids have these hashes."""
        new = islice(self._numbers, len(self._prefixes), None)
        self._prefixes.extend(_prefix(frame_hash(frame_id)) for frame_id in new)
        wanted = np.array([_prefix(hashed) for hashed in hashes], np.uint64)
        alike = np.flatnonzero(np.isin(np.array(self._prefixes, np.uint64), wanted))
        ids = self.frame_ids() if alike.size else []
        return alike[[frame_hash(ids[number]) in hashes for number in alike.tolist()]]

    def taken_by(self, numbers: IntArray, vehicles: Names[VehicleId]) -> None:
        """Record the vehicle of each of these frames."""
        places = [self._vehicles.setdefault(v, len(self._vehicles)) for v in vehicles.values]
        self._taken_by[numbers] = np.array(places, np.int32)[vehicles.codes]

    @property
    def vehicle(self) -> AnyArray:
        """(F,) int32, index in `vehicle_names` of each frame number; -1 if not known."""
        return self._taken_by[: len(self._numbers)]

    @property
    def vehicle_names(self) -> list[VehicleId]:
        """The vehicles in the order in which they were added."""
        return list(self._vehicles)

    def _order(self, new: list[FrameId]) -> None:
        """Take frames into the order that have just been numbered."""
        first = len(self._numbers) - len(new)
        if len(self._numbers) > self._ranks.size:
            self._ranks = np.resize(self._ranks, 2 * len(self._numbers))
            more = np.full(self._ranks.size - self._taken_by.size, -1, np.int32)
            self._taken_by = np.append(self._taken_by, more)
        if len(new) > _INSERTED_SHARE * first:
            self._merge(new)
            return
        for frame_id in new:
            self._place(frame_id)

    def _merge(self, new: list[FrameId]) -> None:
        """Merge many frames into the order, and rank all."""
        ids = [*chain.from_iterable(self._runs), *sorted(new)]
        ids.sort()  # two sorted runs, which is one merge
        half = _RUN // 2
        self._runs = [ids[k : k + half] for k in range(0, len(ids), half)]
        self._firsts = [run[0] for run in self._runs]
        self._rank(ids, 0, _SPACING)

    def _place(self, frame_id: FrameId) -> None:
        """Insert a frame into the order, which is not empty."""
        r = max(bisect_right(self._firsts, frame_id) - 1, 0)
        run = self._runs[r]
        at = bisect_left(run, frame_id)
        before = run[at - 1] if at else self._runs[r - 1][-1] if r else None
        after = (
            run[at] if at < len(run) else self._runs[r + 1][0] if r + 1 < len(self._runs) else None
        )
        run.insert(at, frame_id)
        self._firsts[r] = run[0]
        if not self._take_rank(frame_id, before, after):
            self._spread(r)
        if len(run) > _RUN:
            self._runs[r : r + 1] = [run[: _RUN // 2], run[_RUN // 2 :]]
            self._firsts.insert(r + 1, self._runs[r + 1][0])

    def _take_rank(self, frame_id: FrameId, before: FrameId | None, after: FrameId | None) -> bool:
        """Give a frame a rank between its neighbours'; returns whether there is one."""
        if before is None:
            assert after is not None  # the order was not empty
            rank = self._rank_of(after) - _SPACING
        elif after is None:
            rank = self._rank_of(before) + _SPACING
        else:
            gap = self._rank_of(after) - self._rank_of(before)
            rank = self._rank_of(before) + min(gap // 2, _STEP)
            if gap < 2:  # noqa: PLR2004  # no rank in between
                return False
        self._ranks[self._numbers[frame_id]] = rank
        return True

    def _spread(self, r: int) -> None:
        """Spread the ranks of a run, and of as many around it as are needed to find room."""
        width = 1
        while True:
            first, end = max(r - width, 0), min(r + width + 1, len(self._runs))
            ids = list(chain.from_iterable(self._runs[first:end]))
            if first == 0 and end == len(self._runs):
                self._rank(ids, 0, _SPACING)
                return
            endless = (len(ids) + 1) * _SPACING
            if first:
                low = self._rank_of(self._runs[first - 1][-1])
                more = end < len(self._runs)
                high = self._rank_of(self._runs[end][0]) if more else low + endless
            else:
                high = self._rank_of(self._runs[end][0])
                low = high - endless
            room = (high - low) // (len(ids) + 1)
            if room >= _ROOM:
                self._rank(ids, low + room, room)
                return
            width *= 4

    def _rank_of(self, frame_id: FrameId) -> int:
        return int(self._ranks[self._numbers[frame_id]])

    def _rank(self, ids: Sequence[FrameId], first: int, spacing: int) -> None:
        """Rank these frames, evenly."""
        places = np.fromiter(map(self._numbers.__getitem__, ids), np.int64, len(ids))
        self._ranks[places] = first + np.arange(places.size) * spacing


def _prefix(digest: FrameHash) -> int:
    return int(digest[:16], 16)
