"""Frames by number, their order, and who took them.

COCO breaks ties of score by image, we by `frame_id`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from services.contracts.identity import FrameId, VehicleId
from services.domain.detection.coco import IntArray

_APART: Final = 1 << 36
"""Between two ranks where there is room on one side for ever."""
_BESIDE: Final = 1 << 18
"""From a rank to one that is put behind it: the next drive's frames follow one by one."""
_FEW: Final = 1 / 256
"""Up to this share of all, new frames are placed one by one; more are merged, at the same cost."""


class FrameOrder:
    """Gives each frame a number for good, and knows its rank among all frames so far.

    A frame's number never changes; its rank may when a frame is seen for the first time, but the
    order of any two frames never does. So whatever is sorted by rank stays sorted. Ranks have gaps:
    a new frame takes one in between, and the others keep theirs as long as there is room.
    """

    def __init__(self) -> None:
        self._numbers: dict[FrameId, int] = {}
        self._sorted: list[FrameId] = []
        self._ranks = np.zeros(1024, np.int64)
        self._vehicles: dict[VehicleId, int] = {}
        self._taken_by = np.full(1024, -1, np.int32)

    def __len__(self) -> int:
        return len(self._numbers)

    def copy(self) -> "FrameOrder":
        """The same, apart from the frames that either one learns from now on."""
        other = FrameOrder()
        other._numbers = self._numbers.copy()
        other._sorted = self._sorted.copy()
        other._ranks = self._ranks.copy()
        other._vehicles = self._vehicles.copy()
        other._taken_by = self._taken_by.copy()
        return other

    @property
    def ranks(self) -> IntArray:
        """(F,) int64, the rank of each number."""
        return self._ranks[: len(self._numbers)]

    def frame_ids(self) -> list[FrameId]:
        """The frames by number."""
        return list(self._numbers)

    def numbers(self, frame_ids: Sequence[FrameId]) -> IntArray:
        """(N,) int64, the frames' numbers; those not seen before get the next ones."""
        self._learn(frame_ids)
        return np.fromiter(map(self._numbers.__getitem__, frame_ids), np.int64, len(frame_ids))

    def taken_by(self, numbers: IntArray, vehicles: Sequence[VehicleId | None]) -> None:
        """Learn which vehicle took each of these frames; None for one that is not known."""
        for vehicle in vehicles:
            if vehicle is not None:
                self._vehicles.setdefault(vehicle, len(self._vehicles))
        self._taken_by[numbers] = [-1 if v is None else self._vehicles[v] for v in vehicles]

    @property
    def vehicle(self) -> IntArray:
        """(F,) int64, of each number the vehicle's place in `vehicle_names`; -1 if not known."""
        return self._taken_by[: len(self._numbers)].astype(np.int64)

    @property
    def vehicle_names(self) -> list[VehicleId]:
        """The vehicles, in the order in which they were first seen."""
        return list(self._vehicles)

    def known(self, frame_ids: Iterable[FrameId]) -> IntArray:
        """The numbers of those frames that have one."""
        found = [self._numbers[i] for i in frame_ids if i in self._numbers]
        return np.array(found, np.int64)

    def _learn(self, frame_ids: Sequence[FrameId]) -> None:
        new = list(dict.fromkeys(i for i in frame_ids if i not in self._numbers))
        if not new:
            return
        first = len(self._numbers)
        self._numbers.update(zip(new, range(first, first + len(new)), strict=True))
        if len(self._numbers) > self._ranks.size:
            self._ranks = np.resize(self._ranks, 2 * len(self._numbers))
            more = np.full(self._ranks.size - self._taken_by.size, -1, np.int32)
            self._taken_by = np.append(self._taken_by, more)
        if len(new) > _FEW * len(self._sorted):
            self._sorted += sorted(new)
            self._sorted.sort()  # two sorted runs, which is one merge
            self._rank_all()
            return
        for frame_id in new:
            self._place(frame_id)

    def _place(self, frame_id: FrameId) -> None:
        """Rank a frame among those that are ranked, of which there are some."""
        at = bisect_left(self._sorted, frame_id)
        self._sorted.insert(at, frame_id)
        if at == 0:
            rank = self._rank_of(1) - _APART
        elif at == len(self._sorted) - 1:
            rank = self._rank_of(at - 1) + _APART
        else:
            before, after = self._rank_of(at - 1), self._rank_of(at + 1)
            rank = before + min((after - before) // 2, _BESIDE)
            if rank == before:
                self._rank_all()
                return
        self._ranks[self._numbers[frame_id]] = rank

    def _rank_of(self, place: int) -> int:
        return int(self._ranks[self._numbers[self._sorted[place]]])

    def _rank_all(self) -> None:
        places = np.fromiter(map(self._numbers.__getitem__, self._sorted), np.int64)
        self._ranks[places] = np.arange(places.size) * _APART
