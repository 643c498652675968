"""The candidates of one failure mode in the order of their worth, and its shortlists."""

import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from typing import Self

from services.contracts.identity import DriveId, FamilyId, FrameId, NeedleId, RegionId
from services.domain.shortlists.assigned_frames import AssignedFrames
from services.domain.shortlists.family_shortlists import FamilyShortlists
from services.domain.shortlists.near_duplicates import are_near_duplicates
from services.domain.shortlists.scored_candidates import (
    WORTH_DECIMALS,
    CaptureContext,
    Limits,
    ListedFrame,
    ScoredCandidate,
)

MAX_KEPT_CANDIDATES = 2_000
"""Candidates that a mode keeps from one allocation to the next: the best. At .2 kB each and 1,000
modes, .4 GB at most. An epoch lists some tens of frames."""

_STALE = -1

Rank = tuple[float, FrameId, RegionId]
Candidates = MutableMapping[RegionId, ScoredCandidate]
"""The candidates of one failure mode."""
Yields = Mapping[FamilyId, float]
"""By family, see `optimistic_yield`; a family without verdicts counts as 1."""


class ModeQueue:
    """The needles of one mode, and its candidates, the best first.

    A candidate that cannot be listed (its frame is listed, a similar frame is, a budget is spent,
    no shortlist has room) leaves the queue. While frames are only added, it could not be listed
    later either, so it is not looked at again until one is released.
    """

    def __init__(self, yields: Yields, candidates: Candidates) -> None:
        self.needles = FamilyShortlists()
        self.turns = 0
        """The number of frames that the mode was given, corrected ones not counted."""
        self._yields = yields
        self._releases = _STALE
        self._candidates = candidates
        self._waiting: list[Rank] = []
        self._shown: defaultdict[DriveId, list[CaptureContext]] = defaultdict(list)

    def add_needle(self, needle: NeedleId, family: FamilyId) -> None:
        """Add a needle, whose shortlist has room for candidates that had none."""
        self.needles.add(needle, family)
        self._releases = _STALE

    def add_candidates(self, candidates: Iterable[ScoredCandidate]) -> None:
        """Add candidates; a region that is there already is replaced."""
        for candidate in candidates:
            self._candidates[candidate.region] = candidate
            heapq.heappush(self._waiting, self.rank(candidate))

    def remove_candidates(self, frames: Collection[FrameId]) -> None:
        """Drop the candidates on these frames."""
        gone = [
            region
            for region, candidate in self._candidates.items()
            if candidate.context.frame in frames
        ]
        for region in gone:
            del self._candidates[region]

    def remove_all_candidates(self) -> None:
        """Drop all candidates."""
        self._candidates.clear()
        self._waiting.clear()

    def keep_best(self, listed: Collection[FrameId]) -> None:
        """Drop the worst candidates on frames that are not listed, beyond MAX_KEPT_CANDIDATES.

        Called once per allocation, so that what is kept does not depend on the order in which
        candidates came.
        """
        if len(self._candidates) > MAX_KEPT_CANDIDATES:
            candidates = self._candidates.values()
            waiting = [item for item in candidates if item.context.frame not in listed]
            for _, _, region in sorted(map(self.rank, waiting))[MAX_KEPT_CANDIDATES:]:
                del self._candidates[region]
        if len(self._waiting) > 2 * len(self._candidates):
            # Ranks of candidates that are gone or were replaced would stay until they are the best.
            self._waiting = sorted(filter(self._is_current, set(self._waiting)))

    def reconsider_after(self, releases: int) -> None:
        """Consider all candidates again if frames were released since this was last called.

        Parameters
        ----------
        releases : the number of releases so far
        """
        if releases != self._releases:
            self._releases = releases
            self._waiting = [self.rank(candidate) for candidate in self._candidates.values()]
            heapq.heapify(self._waiting)

    def adopt(self, earlier: Self, new: Iterable[RegionId]) -> None:
        """Keep the order of an earlier queue of the same table, instead of sorting it again.

        No frame was released since, and the yields are the same.

        Parameters
        ----------
        earlier : it is not used any more
        new : candidates that are new or replaced since
        """
        if self.needles.families() == earlier.needles.families():
            self._waiting, self._releases = earlier._waiting, earlier._releases
            for region in new:
                if (candidate := self._candidates.get(region)) is not None:
                    heapq.heappush(self._waiting, self.rank(candidate))

    def bound(self, releases: int) -> float:
        """The worth, negated, that no candidate exceeds; see `rank`."""
        if releases != self._releases:
            return -math.inf
        return self._waiting[0][0] if self._waiting else math.inf

    def rerank(self) -> None:
        """Order the candidates by their worth under the yields, which have changed."""
        self._releases = _STALE

    def rank(self, candidate: ScoredCandidate) -> Rank:
        """Sorts the candidate of most worth first; of equals, by frame and region."""
        worth = candidate.worth * self._yields.get(candidate.family, 1.0)
        return -round(worth, WORTH_DECIMALS), candidate.context.frame, candidate.region

    def _is_current(self, rank: Rank) -> bool:
        """Whether it is the rank that its candidate has now."""
        candidate = self._candidates.get(rank[2])
        return candidate is not None and rank == self.rank(candidate)

    def next_candidate(
        self, assigned: AssignedFrames, limits: Limits
    ) -> tuple[ScoredCandidate, NeedleId] | None:
        """The best candidate that can be listed, and the needle whose shortlist would have it."""
        while self._waiting and self.needles.any_waiting():
            rank = self._waiting[0]
            if self._is_current(rank):
                candidate = self._candidates[rank[2]]
                needle = self._needle_for(candidate, assigned, limits)
                if needle is not None:
                    return candidate, needle
            heapq.heappop(self._waiting)
        return None

    def show(
        self,
        listed: ListedFrame,
        assigned: AssignedFrames,
        limits: Limits,
    ) -> None:
        """Put a frame on a needle's shortlist."""
        assigned.assign(listed)
        self.note_shown(listed, assigned, limits)

    def note_shown(self, listed: ListedFrame, assigned: AssignedFrames, limits: Limits) -> None:
        """Note that a frame is on a needle's shortlist."""
        if listed.context.drive is not None:
            self._shown[listed.context.drive].append(listed.context)
        if not listed.corrected:
            self.turns += 1
        self.needles.update(listed.needle, assigned.count(listed.needle), limits.size)

    def hide(self, listed: ListedFrame, assigned: AssignedFrames, limits: Limits) -> None:
        """Update the mode after a frame left a needle's shortlist."""
        if listed.context.drive is not None:
            self._shown[listed.context.drive].remove(listed.context)
        if not listed.corrected:
            self.turns -= 1
        self.needles.update(listed.needle, assigned.count(listed.needle), limits.size)

    def unassigned(self, assigned: AssignedFrames, limits: Limits) -> Iterator[ScoredCandidate]:
        """Candidates not listed that no distance limit excludes, best first."""
        if not self.needles.any_waiting():
            return
        accepted: defaultdict[DriveId, list[CaptureContext]] = defaultdict(list)
        for _, _, region in sorted(map(self.rank, self._candidates.values())):
            candidate = self._candidates[region]
            context = candidate.context
            if context.frame in assigned.listed or self._repeats(context, limits):
                continue
            if context.drive is not None:
                if any(
                    are_near_duplicates(context, other, limits) for other in accepted[context.drive]
                ):
                    continue
                accepted[context.drive].append(context)
            yield candidate

    def _needle_for(
        self, candidate: ScoredCandidate, assigned: AssignedFrames, limits: Limits
    ) -> NeedleId | None:
        context = candidate.context
        if (
            context.frame in assigned.listed
            or assigned.spending.exhausted(candidate.task, limits.budgets)
            or self._repeats(context, limits)
        ):
            return None
        for opened in self.needles.opened(candidate.family):
            fitting = [needle for needle in opened if assigned.fits(needle, context, limits)]
            if fitting:
                # The fullest first, so that one shortlist is filled before the next.
                return min(fitting, key=lambda needle: (-assigned.count(needle), needle))
        return self.needles.next_empty(candidate.family)

    def _repeats(self, context: CaptureContext, limits: Limits) -> bool:
        return context.drive is not None and any(
            are_near_duplicates(context, other, limits)
            for other in self._shown.get(context.drive, ())
        )
