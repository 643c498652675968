"""Allocation: assign scored candidates to the shortlists of needles, within the budgets.

The needles of one failure mode compete for the same frames. Therefore the mode chooses, its best
frame first, and every frame goes to one needle only. Failure modes are served round-robin, weighted
by their number of needles, those with the most to gain first, until the budget is spent.

Within a mode, one shortlist is filled before the next is opened: an annotator corrects ten frames
that fail alike as one task, and one frame on each of ten shortlists as ten. A new shortlist is
opened for the needle that the frame resembles most.

A frame whose budget is spent is skipped for the next best; `held_back` names the frames that were
skipped or not reached.

An allocator keeps its assignments: when needles, regions or the budget grow, it adds to them, and
its work is proportional to what is new. A new allocator starts from nothing, so its shortlists
depend only on what is stored.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator

from services.contracts.identity import DriveId, FamilyId, FrameId, NeedleId, RegionId
from services.domain.mining.ranking import Vectors
from services.domain.shortlists.budgets import Budget, BudgetedTask, Spending
from services.domain.shortlists.needle_rows import NeedleRows
from services.domain.shortlists.scored_candidates import (
    Assignment,
    CaptureContext,
    HeldBack,
    Key,
    Limits,
    ScoredCandidate,
    near,
    task_of,
)

_WORTH_DECIMALS = 12
"""Worths that are equal to this many decimals tie; smaller differences are float noise."""
_WAITING_MAX = 20_000
"""Candidates that a mode holds in memory; beyond it, the worse half is dropped."""


class _AssignedFrames:
    """The frames on shortlists: which needle has each, and what budgets they use up."""

    def __init__(self) -> None:
        self.owners: dict[FrameId, NeedleId] = {}
        self._listed: defaultdict[NeedleId, dict[FrameId, CaptureContext]] = defaultdict(dict)
        self._drives: Counter[tuple[NeedleId, DriveId]] = Counter()
        self._tasks: dict[FrameId, BudgetedTask] = {}
        self.spending = Spending()

    def count(self, needle: NeedleId) -> int:
        return len(self._listed[needle])

    def frames(self, needle: NeedleId) -> list[FrameId]:
        return list(self._listed[needle])

    def fits(self, needle: NeedleId, context: CaptureContext, limits: Limits) -> bool:
        if self.count(needle) >= limits.size:
            return False
        return context.drive is None or self._drives[needle, context.drive] < limits.per_drive

    def assign(self, needle: NeedleId, context: CaptureContext, task: BudgetedTask) -> None:
        self.owners[context.frame] = needle
        self._tasks[context.frame] = task
        self.spending.add(task)
        self._listed[needle][context.frame] = context
        if context.drive is not None:
            self._drives[needle, context.drive] += 1

    def release(self, frame: FrameId) -> tuple[NeedleId, CaptureContext]:
        needle = self.owners.pop(frame)
        self.spending.remove(self._tasks.pop(frame))
        context = self._listed[needle].pop(frame)
        if context.drive is not None:
            self._drives[needle, context.drive] -= 1
        return needle, context


class _ModeQueue:
    """The needles of one mode, and their candidates in order of worth."""

    def __init__(self) -> None:
        self.needles = NeedleRows()
        self.assigned_count = 0
        self._candidates: dict[RegionId, ScoredCandidate] = {}
        self._waiting: list[tuple[float, FrameId, RegionId]] = []
        self._shown: defaultdict[DriveId | None, list[CaptureContext]] = defaultdict(list)

    def add_candidates(self, candidates: Iterable[ScoredCandidate]) -> None:
        for candidate in candidates:
            self._candidates[candidate.region] = candidate
            heapq.heappush(self._waiting, _rank(candidate))
        if len(self._waiting) > _WAITING_MAX:
            self._keep_best(_WAITING_MAX // 2)

    def remove_candidates(self, frames: Collection[FrameId]) -> None:
        self._candidates = {
            region: candidate
            for region, candidate in self._candidates.items()
            if candidate.context.frame not in frames
        }

    def remove_all_candidates(self) -> None:
        self._candidates.clear()
        self._waiting.clear()

    def candidate_frames(self) -> Iterator[FrameId]:
        return (candidate.context.frame for candidate in self._candidates.values())

    def next_candidate(
        self, assigned: _AssignedFrames, limits: Limits
    ) -> tuple[ScoredCandidate, int] | None:
        """The best candidate that can be assigned, and the row of the needle that would get it."""
        while self._waiting and self.needles.any_waiting():
            rank = self._waiting[0]
            candidate = self._candidates.get(rank[2])
            if (
                candidate is not None
                and rank == _rank(candidate)
                and not assigned.spending.exhausted(candidate.task, limits.budgets)
            ):
                context = candidate.context
                if context.frame not in assigned.owners and not self._repeats(context, limits):
                    row = self._best_needle(candidate, assigned, limits)
                    if row is not None:
                        return candidate, row
                del self._candidates[candidate.region]
            heapq.heappop(self._waiting)
        return None

    def take(
        self, candidate: ScoredCandidate, row: int, assigned: _AssignedFrames, limits: Limits
    ) -> Assignment:
        """Assign a candidate to a needle."""
        similarity = float(self.needles.similarity(row, candidate.vector))
        del self._candidates[candidate.region]
        self.show(row, candidate.context, candidate.task, assigned, limits)
        return Assignment(self.needles.id_of(row), candidate, similarity)

    def show(
        self,
        row: int,
        context: CaptureContext,
        task: BudgetedTask,
        assigned: _AssignedFrames,
        limits: Limits,
    ) -> None:
        """Put a frame on a needle's shortlist."""
        needle = self.needles.id_of(row)
        assigned.assign(needle, context, task)
        self._shown[context.drive].append(context)
        self.needles.open(row)
        if assigned.count(needle) >= limits.size:
            self.needles.fill(row)

    def hide(self, needle: NeedleId, context: CaptureContext, assigned: _AssignedFrames) -> None:
        """Update the mode after a frame left a needle's shortlist."""
        self._shown[context.drive].remove(context)
        row = self.needles.row_of(needle)
        if assigned.count(needle):
            self.needles.open(row)
        else:
            self.needles.close(row)

    def unassigned(self, assigned: _AssignedFrames, limits: Limits) -> Iterator[ScoredCandidate]:
        """Candidates not assigned that no distance limit excludes, best first."""
        if not self.needles.any_waiting():
            return
        accepted: defaultdict[DriveId | None, list[CaptureContext]] = defaultdict(list)
        for _, _, region in sorted(map(_rank, self._candidates.values())):
            candidate = self._candidates[region]
            context = candidate.context
            if context.frame in assigned.owners or self._repeats(context, limits):
                continue
            if context.drive is not None and any(
                near(context, o, limits) for o in accepted[context.drive]
            ):
                continue
            accepted[context.drive].append(context)
            yield candidate

    def _repeats(self, context: CaptureContext, limits: Limits) -> bool:
        return context.drive is not None and any(
            near(context, other, limits) for other in self._shown[context.drive]
        )

    def _best_needle(
        self, candidate: ScoredCandidate, assigned: _AssignedFrames, limits: Limits
    ) -> int | None:
        open_rows = [
            row
            for row in self.needles.opened()
            if assigned.fits(self.needles.id_of(row), candidate.context, limits)
        ]
        if open_rows:
            return self.needles.most_similar_of(open_rows, candidate.vector)
        return self.needles.most_similar_closed(candidate.vector)

    def _keep_best(self, count: int) -> None:
        best = heapq.nsmallest(count, (_rank(candidate) for candidate in self._candidates.values()))
        self._candidates = {rank[2]: self._candidates[rank[2]] for rank in best}
        self._waiting = best


def _rank(candidate: ScoredCandidate) -> tuple[float, FrameId, RegionId]:
    return -round(candidate.worth, _WORTH_DECIMALS), candidate.context.frame, candidate.region


class BudgetAllocator:
    """Assigns frames to needles, incrementally as needles and candidates arrive."""

    def __init__(self) -> None:
        self._assigned = _AssignedFrames()
        self._queues: defaultdict[Key, _ModeQueue] = defaultdict(_ModeQueue)
        self._key_of: dict[NeedleId, Key] = {}

    def add_needle(self, key: Key, needle: NeedleId, vector: Vectors) -> None:
        """Add a needle to its mode; frames that it held in another mode become free.

        Parameters
        ----------
        vector : (D,) float32, unit length
        """
        before = self._key_of.get(needle)
        if before == key:
            return
        if before is not None:
            self.remove_needle(needle)
        self._key_of[needle] = key
        self._queues[key].needles.add(needle, vector)

    def remove_needle(self, needle: NeedleId) -> None:
        """Remove a needle; its frames become free."""
        key = self._key_of.get(needle)
        if key is None:
            return
        for frame in self._assigned.frames(needle):
            self.release(frame)
        del self._key_of[needle]
        self._queues[key].needles.remove(needle)

    def keep(
        self, needle: NeedleId, context: CaptureContext, family: FamilyId, limits: Limits
    ) -> None:
        """Record a frame that stays on a needle's shortlist, whatever the limits say."""
        queue, task = self._queues[self._key_of[needle]], task_of(context, family)
        queue.show(queue.needles.row_of(needle), context, task, self._assigned, limits)

    def owner(self, frame: FrameId) -> NeedleId | None:
        """The needle whose shortlist has the frame; None if no shortlist does."""
        return self._assigned.owners.get(frame)

    def release(self, frame: FrameId) -> NeedleId:
        """Take a frame off its shortlist; returns the needle that had it."""
        needle, context = self._assigned.release(frame)
        queue = self._queues[self._key_of[needle]]
        queue.hide(needle, context, self._assigned)
        queue.assigned_count = max(0, queue.assigned_count - 1)
        return needle

    def needles(self, key: Key) -> list[NeedleId]:
        """The needles of a mode."""
        return self._queues[key].needles.ids()

    def vectors(self, key: Key) -> Vectors:
        """(M, D), the vectors of a mode's needles, in the order of `needles`."""
        return self._queues[key].needles.vectors()

    def add_candidates(self, key: Key, candidates: Iterable[ScoredCandidate]) -> None:
        """Add candidates to a mode; a region that it already has is replaced."""
        self._queues[key].add_candidates(candidates)

    def candidate_frames(self, key: Key) -> set[FrameId]:
        """The frames of a mode's candidates."""
        return set(self._queues[key].candidate_frames())

    def remove_candidates(self, key: Key, frames: Collection[FrameId]) -> None:
        """Drop a mode's candidates on these frames."""
        self._queues[key].remove_candidates(frames)

    def remove_all_candidates(self, key: Key) -> None:
        """Drop all candidates of a mode."""
        self._queues[key].remove_all_candidates()

    def allocate(self, limits: Limits) -> list[Assignment]:
        """Assign as many frames as the budgets allow, best first."""
        assignments = []
        keys = sorted(key for key, queue in self._queues.items() if len(queue.needles))
        waiting = [(self._round(key), -math.inf, number) for number, key in enumerate(keys)]
        heapq.heapify(waiting)
        while waiting and len(self._assigned.owners) < limits.budgets.haystack:
            round_, expected, number = heapq.heappop(waiting)
            queue = self._queues[keys[number]]
            next_candidate = queue.next_candidate(self._assigned, limits)
            if next_candidate is None:
                continue
            candidate, row = next_candidate
            if -candidate.worth > expected:
                # Its best candidate is worth less than expected, so another mode may come first.
                heapq.heappush(waiting, (round_, -candidate.worth, number))
                continue
            assignments.append(queue.take(candidate, row, self._assigned, limits))
            queue.assigned_count += 1
            heapq.heappush(waiting, (self._round(keys[number]), -candidate.worth, number))
        return assignments

    def held_back(self, limits: Limits) -> list[HeldBack]:
        """The frames that only a spent budget keeps off shortlists, the most valuable first."""
        found: dict[FrameId, HeldBack] = {}
        for key, queue in sorted(self._queues.items()):
            for candidate in queue.unassigned(self._assigned, limits):
                budget = self._assigned.spending.exhausted(candidate.task, limits.budgets)
                known = found.get(candidate.context.frame)
                if budget is not None and (
                    known is None or candidate.worth > known.candidate.worth
                ):
                    found[candidate.context.frame] = HeldBack(key, candidate, budget)
        return sorted(found.values(), key=lambda item: _rank(item.candidate))

    def spent(self) -> dict[Budget, int]:
        """How much of the budgets is spent; see `Spending.latest`."""
        return self._assigned.spending.latest()

    def _round(self, key: Key) -> int:
        queue = self._queues[key]
        return queue.assigned_count // len(queue.needles)
