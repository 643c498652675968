"""Puts frames on shortlists that were drawn, and not chosen for what the detector found there."""

from collections import defaultdict
from collections.abc import Mapping
from heapq import heapify, heappop, heapreplace

from services.contracts.identity import Category, NeedleId
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.purposes import Purpose
from services.domain.shortlists.scored_candidates import (
    Assignment,
    Key,
    ListedFrame,
    ScoredCandidate,
)
from services.retriever import logic
from services.retriever.allocation.active_needles import ActiveNeedles
from services.retriever.allocation.divided_budget import DividedBudget
from services.retriever.allocation.drawn_frames import DrawnFrames
from services.retriever.logic import DetectorCategory
from services.retriever.scoring.scorer import FittedTo
from services.retriever.sources import Sources

_Room = tuple[int, NeedleId]
"""A shortlist with room: how many frames it has, and its needle."""


class FramePlacement:
    """Finds a shortlist for each frame that is drawn by chance, or for coverage.

    The detector is not predicted to fail there, so evidence and similarity are 0.
    """

    def __init__(
        self,
        needles: ActiveNeedles,
        fits: Mapping[Key, FittedTo],
        drawn: DrawnFrames,
        division: DividedBudget,
        sources: Sources,
    ) -> None:
        self._needles = needles
        self._fits = fits
        self._drawn = drawn
        self._division = division
        self._frames = sources.frames
        self._count_copies = sources.settings.count_copies

    async def of_drawn(self, allocator: BudgetAllocator) -> list[Assignment]:
        """Put drawn frames on shortlists that have chosen ones, of their category where possible.

        No limit applies to them: leaving a frame out would make its recorded inclusion probability
        wrong.
        """
        waiting = [
            (frame, row) for frame, row in self._drawn.waiting() if allocator.owner(frame) is None
        ]
        if not waiting:
            return []
        by_category: defaultdict[Category, list[NeedleId]] = defaultdict(list)
        for needle in allocator.shortlists():
            (_, category), _ = category_mode = self._needles.mode_of(needle)
            if logic.key_of(*category_mode) in self._fits:
                by_category[category].append(needle)
        needles = [needle for of_category in by_category.values() for needle in of_category]
        if not needles:
            return []
        facts = await self._frames.load({frame for frame, _ in waiting})
        placed = []
        for frame, row in waiting:
            seen = facts.get(frame)
            if seen is None or row.region not in seen.regions:
                self._drawn.remove(frame)
            elif row.asked or seen.is_listable(count_copies=self._count_copies):
                _, category = seen.regions[row.region].detector_category
                needle = self._drawn.place(frame, by_category.get(category) or needles)
                family = self._needles.family(needle, None)
                candidate = ScoredCandidate(row.region, seen.context, 0.0, 0.0, family)
                placed.append(Assignment(needle, candidate, self._drawn.sampling(frame)))
        return placed

    async def of_covering(
        self, allocator: BudgetAllocator, count: int, size: int
    ) -> list[Assignment]:
        """Put frames for coverage on shortlists with room.

        Parameters
        ----------
        count : most frames
        size : most frames of a shortlist
        """
        rooms = self._rooms(allocator, size) if count > 0 else {}
        if not rooms:
            return []
        waiting = [item for item in self._division.covering() if allocator.owner(item[0]) is None]
        facts = await self._frames.load({frame for frame, _ in waiting})
        found: list[Assignment] = []
        for frame, region in waiting:
            if len(found) >= count or not rooms:
                break
            seen = facts.get(frame)
            if seen is None or region not in seen.regions:
                continue
            if not seen.is_listable(count_copies=self._count_copies):
                continue  # its event has not arrived yet
            needle = _taken(rooms, seen.regions[region].detector_category, size)
            family = self._needles.family(needle, None)
            allocator.keep(ListedFrame(needle, region, seen.context, family))
            candidate = ScoredCandidate(region, seen.context, 0.0, 0.0, family)
            found.append(Assignment(needle, candidate))
        self._division.spend((item.candidate.context.frame for item in found), Purpose.COVERAGE)
        return found

    def _rooms(self, allocator: BudgetAllocator, size: int) -> dict[DetectorCategory, list[_Room]]:
        """A heap of the shortlists with room, of each category that has one."""
        rooms: defaultdict[DetectorCategory, list[_Room]] = defaultdict(list)
        for category, modes in self._needles.modes().items():
            for key in (logic.key_of(category, mode) for mode in modes):
                for needle in allocator.needles(key) if key in self._fits else ():
                    if (frames := allocator.count(needle)) < size:
                        rooms[category].append((frames, needle))
        for heap in rooms.values():
            heapify(heap)
        return dict(rooms)


def _taken(
    rooms: dict[DetectorCategory, list[_Room]], detector_category: DetectorCategory, size: int
) -> NeedleId:
    """The needle with the fewest frames, of this category where there is one, given one more."""
    category = detector_category
    if category not in rooms:
        category = min(rooms, key=lambda other: rooms[other][0])
    frames, needle = rooms[category][0]
    if frames + 1 < size:
        heapreplace(rooms[category], (frames + 1, needle))
    else:
        heappop(rooms[category])
    if not rooms[category]:
        del rooms[category]
    return needle
