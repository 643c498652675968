"""Who is shown which frame: a budget of frames, dealt to needles in rounds.

Needles of one mode fail alike, so they would all ask for the same frames. Instead the mode asks,
its best frame first, and every frame goes to one needle only. In each round every mode gets as many
frames as it has needles, those with the most to gain first, until the budget is spent.

Within a mode, one shortlist is filled before the next is opened: ten frames that fail alike are one
task for an annotator, one frame on each of ten shortlists is none. A new one is opened for the
needle that the frame resembles most.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.contracts.identity import DriveId, FrameId, NeedleId
from services.domain.coco import FloatArray

_EARTH_M = 6_371_000.0
_WORTH_DECIMALS = 12
_SIMILARITY_DECIMALS = 6
"""What is equal to here is a tie; beyond it lies rounding."""


@dataclass(frozen=True)
class Spot:
    """Where and when a region was seen."""

    frame: FrameId
    drive: DriveId | None
    second: float
    position: tuple[float, float] | None
    """Latitude and longitude in degrees."""


@dataclass(frozen=True)
class Group:
    """The needles of one mode, and the regions that may fail as they do.

    Attributes
    ----------
    needles : M ids, in their order
    similarity : (M, N) of each needle to each region
    spots : N
    worth : (N,), what the plan gains by each region's frame; those of no worth are left out
    """

    needles: Sequence[NeedleId]
    similarity: FloatArray
    spots: Sequence[Spot]
    worth: FloatArray


@dataclass(frozen=True)
class Limits:
    """How much is shown, and how far apart.

    Attributes
    ----------
    budget : frames in all
    size : frames per needle
    per_drive : frames of one drive per needle; frames without a drive are not capped
    apart_s, apart_m : two frames of one drive that are closer than either show the same; a mode
        gets one of them
    """

    budget: int
    size: int
    per_drive: int
    apart_s: float
    apart_m: float


def near(one: Spot, other: Spot, limits: Limits) -> bool:
    """Whether two frames show the same place at the same time."""
    if one.drive is None or one.drive != other.drive:
        return False
    if abs(one.second - other.second) < limits.apart_s:
        return True
    if one.position is None or other.position is None:
        return False
    return _metres(one.position, other.position) < limits.apart_m


def _metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """On a plane that touches the earth there: exact enough for what is near."""
    north = math.radians(one[0] - other[0])
    east = math.radians(one[1] - other[1]) * math.cos(math.radians(one[0]))
    return _EARTH_M * math.hypot(north, east)


@dataclass
class _Dealt:
    """What has been given out."""

    limits: Limits
    frames: set[FrameId] = field(default_factory=set)
    counts: Counter[NeedleId] = field(default_factory=Counter)
    drives: Counter[tuple[NeedleId, DriveId]] = field(default_factory=Counter)

    def fits(self, needle: NeedleId, spot: Spot) -> bool:
        if self.counts[needle] >= self.limits.size:
            return False
        return spot.drive is None or self.drives[needle, spot.drive] < self.limits.per_drive

    def give(self, needle: NeedleId, spot: Spot) -> None:
        self.frames.add(spot.frame)
        self.counts[needle] += 1
        if spot.drive is not None:
            self.drives[needle, spot.drive] += 1


class _Asking:
    """One group, and how far down its list it has come."""

    def __init__(self, group: Group, kept: Mapping[NeedleId, Sequence[Spot]]) -> None:
        self.group = group
        self._closed = np.array([not kept.get(needle) for needle in group.needles], np.bool_)
        self._open = np.flatnonzero(~self._closed).tolist()
        rounded = np.round(group.worth, _WORTH_DECIMALS)
        frames = np.array([spot.frame for spot in group.spots], dtype=str)
        order = np.lexsort((frames, -rounded)) if len(frames) else np.empty(0, int)
        self._order = [place for place in order.tolist() if group.worth[place] > 0]
        self._next = 0
        self._shown: defaultdict[DriveId | None, list[Spot]] = defaultdict(list)
        self.given = 0
        for number in self._open:
            for spot in kept[group.needles[number]]:
                self._shown[spot.drive].append(spot)

    def wish(self, dealt: _Dealt) -> tuple[float, int, int] | None:
        """The best region that can still be had: its worth, its place and which needle's."""
        while self._next < len(self._order):
            place = self._order[self._next]
            spot = self.group.spots[place]
            if spot.frame not in dealt.frames and not self._repeats(spot, dealt.limits):
                number = self._taker(place, spot, dealt)
                if number is not None:
                    return float(self.group.worth[place]), place, number
            self._next += 1
        return None

    def take(self, place: int, number: int, dealt: _Dealt) -> NeedleId:
        """Give a region to a needle; the needle's id."""
        spot, needle = self.group.spots[place], self.group.needles[number]
        dealt.give(needle, spot)
        self._shown[spot.drive].append(spot)
        self.given += 1
        if self._closed[number]:
            self._closed[number] = False
            self._open.append(number)
        if dealt.counts[needle] >= dealt.limits.size:
            self._open.remove(number)
        return needle

    def _repeats(self, spot: Spot, limits: Limits) -> bool:
        return spot.drive is not None and any(
            near(spot, other, limits) for other in self._shown[spot.drive]
        )

    def _taker(self, place: int, spot: Spot, dealt: _Dealt) -> int | None:
        alike = np.round(self.group.similarity[:, place], _SIMILARITY_DECIMALS)
        able = [n for n in self._open if dealt.fits(self.group.needles[n], spot)]
        if able:
            return min(able, key=lambda number: (-alike[number], number))
        if not self._closed.any():
            return None
        # The first of the most similar ones.
        return int(np.where(self._closed, alike, -np.inf).argmax())


def deal(
    groups: Sequence[Group], limits: Limits, kept: Mapping[NeedleId, Sequence[Spot]]
) -> dict[NeedleId, list[tuple[int, int]]]:
    """Which regions each needle's shortlist gets, as (group, place in it), best first.

    Parameters
    ----------
    groups : in an order of their own, which decides between equal worths
    kept : frames that stay on a needle's shortlist come what may; they count in every limit
    """
    dealt = _Dealt(limits)
    for needle, spots in kept.items():
        for spot in spots:
            dealt.give(needle, spot)
    asking = [_Asking(group, kept) for group in groups]
    chosen: dict[NeedleId, list[tuple[int, int]]] = defaultdict(list)
    waiting = [(0, -math.inf, number) for number in range(len(groups))]
    while waiting and len(dealt.frames) < limits.budget:
        round_, hoped, number = heapq.heappop(waiting)
        group = asking[number]
        wish = group.wish(dealt)
        if wish is None:
            continue
        worth, place, taker = wish
        if -worth > hoped:
            # Others may have more to gain by now.
            heapq.heappush(waiting, (round_, -worth, number))
            continue
        needle = group.take(place, taker, dealt)
        chosen[needle].append((number, place))
        again = group.given // len(group.group.needles)
        heapq.heappush(waiting, (again, -worth, number))
    return dict(chosen)
