"""Numbers frames, and keeps their order and their vehicles.

COCO breaks ties of score by image; here the tie-break is `frame_id`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from services.contracts.identity import FrameId, VehicleId
from services.domain.detection.coco import IntArray

_SPACING: Final = 1 << 36
"""Distance between neighbouring ranks, unless there is less room."""
_STEP: Final = 1 << 18
"""Largest distance of an inserted rank to the one before: a drive's frames follow in a row."""
_INSERTED_SHARE: Final = 1 / 256
"""Insert new frames one by one up to this share of all frames; a merge costs as much from there."""


class FrameOrder:
    """Gives each frame a permanent number, and keeps its rank in the order of ids.

    A frame's number never changes. Its rank may change when a frame is added, but the order of any
    two frames does not, so what is sorted by rank stays sorted. Ranks have gaps: a new frame takes
    one in between, and the others keep theirs as long as there is room.
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
        """An independent copy."""
        other = FrameOrder()
        other._numbers = self._numbers.copy()
        other._sorted = self._sorted.copy()
        other._ranks = self._ranks.copy()
        other._vehicles = self._vehicles.copy()
        other._taken_by = self._taken_by.copy()
        return other

    @property
    def ranks(self) -> IntArray:
        """(F,) int64, the rank of each frame number."""
        return self._ranks[: len(self._numbers)]

    def frame_ids(self) -> list[FrameId]:
        """The frame ids in the order of their numbers."""
        return list(self._numbers)

    def numbers(self, frame_ids: Sequence[FrameId]) -> IntArray:
        """(N,) int64, the numbers of these frames; new frames get the next numbers."""
        self._learn(frame_ids)
        return np.fromiter(map(self._numbers.__getitem__, frame_ids), np.int64, len(frame_ids))

    def taken_by(self, numbers: IntArray, vehicles: Sequence[VehicleId | None]) -> None:
        """Record the vehicle of each of these frames; None where it is not known."""
        for vehicle in vehicles:
            if vehicle is not None:
                self._vehicles.setdefault(vehicle, len(self._vehicles))
        self._taken_by[numbers] = [-1 if v is None else self._vehicles[v] for v in vehicles]

    @property
    def vehicle(self) -> IntArray:
        """(F,) int64, index in `vehicle_names` of each frame number; -1 if not known."""
        return self._taken_by[: len(self._numbers)].astype(np.int64)

    @property
    def vehicle_names(self) -> list[VehicleId]:
        """The vehicles in the order in which they were added."""
        return list(self._vehicles)

    def known(self, frame_ids: Iterable[FrameId]) -> IntArray:
        """The numbers of those of these frames that have one."""
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
        if len(new) > _INSERTED_SHARE * len(self._sorted):
            self._sorted += sorted(new)
            self._sorted.sort()  # two sorted runs, which is one merge
            self._rank_all()
            return
        for frame_id in new:
            self._place(frame_id)

    def _place(self, frame_id: FrameId) -> None:
        """Insert a frame into the order, which is not empty."""
        at = bisect_left(self._sorted, frame_id)
        self._sorted.insert(at, frame_id)
        if at == 0:
            rank = self._rank_of(1) - _SPACING
        elif at == len(self._sorted) - 1:
            rank = self._rank_of(at - 1) + _SPACING
        else:
            before, after = self._rank_of(at - 1), self._rank_of(at + 1)
            rank = before + min((after - before) // 2, _STEP)
            if rank == before:
                self._rank_all()
                return
        self._ranks[self._numbers[frame_id]] = rank

    def _rank_of(self, place: int) -> int:
        return int(self._ranks[self._numbers[self._sorted[place]]])

    def _rank_all(self) -> None:
        places = np.fromiter(map(self._numbers.__getitem__, self._sorted), np.int64)
        self._ranks[places] = np.arange(places.size) * _SPACING
