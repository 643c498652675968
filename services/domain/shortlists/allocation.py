"""Allocation: assign scored candidates to the shortlists of needles, within the budgets.

The needles of one failure mode compete for the same frames. Therefore the mode chooses, its best
frame first, and every frame goes to one needle only. Failure modes are served round-robin, weighted
by their number of needles, those with the most to gain first, until the budget is spent.

Within a mode, one shortlist is filled before the next is opened: an annotator corrects ten frames
that fail alike faster on one shortlist than on ten. A mode's needles are represented by the
exemplars of their families: a frame goes to an open shortlist of the family that it resembles most,
else to another open one, else it opens one of its family.

A frame whose budget is spent is skipped for the next best; `held_back` names the frames that were
skipped or not reached.

`BudgetAllocator` holds its state from one epoch to the next, so that an epoch costs what is new in
it. What it lists is a function of candidates, needles, verdicts, previous shortlists and limits, in
whatever order and parts they arrive.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Self

from services.contracts.identity import FamilyId, FrameId, NeedleId, RegionId
from services.domain.shortlists.assigned_frames import AssignedFrames
from services.domain.shortlists.budgets import Budget, optimistic_yield
from services.domain.shortlists.mode_queue import Candidates, ModeQueue
from services.domain.shortlists.scored_candidates import (
    Assignment,
    HeldBack,
    Key,
    Limits,
    ListedFrame,
    ScoredCandidate,
)


@dataclass(frozen=True)
class Verdict:
    """The verdict on a task: whether its region fails in the needle's mode."""

    family: FamilyId
    confirmed: bool


Shortlists = dict[NeedleId, tuple[FrameId, ...]]
"""The frames of each needle's shortlist, by id; needles without frames are left out."""


def _yields_of(verdicts: Iterable[Verdict]) -> dict[FamilyId, float]:
    """The yield of each family that was judged."""
    judged: Counter[FamilyId] = Counter()
    confirmed: Counter[FamilyId] = Counter()
    for verdict in verdicts:
        judged[verdict.family] += 1
        confirmed[verdict.family] += verdict.confirmed
    return {family: optimistic_yield(confirmed[family], n) for family, n in judged.items()}


def _in_memory(_: Key) -> Candidates:
    return {}


@dataclass(frozen=True)
class AllocationTables:
    """The tables of an allocator's state between epochs, apart from the needles.

    Attributes
    ----------
    listed : the frames on shortlists
    yields : of families that were judged
    candidates : the table of a failure mode's candidates
    """

    listed: MutableMapping[FrameId, ListedFrame] = field(default_factory=dict)
    yields: MutableMapping[FamilyId, float] = field(default_factory=dict)
    candidates: Callable[[Key], Candidates] = _in_memory


class BudgetAllocator:
    """Assigns frames to needles, incrementally as needles and candidates arrive."""

    def __init__(self, limits: Limits, tables: AllocationTables | None = None) -> None:
        self._limits = limits
        self._tables = tables if tables is not None else AllocationTables()
        self._assigned = AssignedFrames(self._tables.listed)
        self._yields = self._tables.yields
        self._queues: dict[Key, ModeQueue] = {}
        self._key_of: dict[NeedleId, Key] = {}
        self._releases = 0
        """How often room was made, in every mode, for candidates that may have had none."""
        self._grown: set[Key] = set()
        """Modes with new candidates since the last allocation."""

    @classmethod
    def restored(
        cls,
        limits: Limits,
        tables: AllocationTables,
        needles: Iterable[tuple[Key, NeedleId, FamilyId]],
    ) -> Self:
        """The allocator that has filled these tables, for these needles."""
        allocator = cls(limits, tables)
        for key, needle, family in needles:
            allocator.add_needle(key, needle, family)
        for listed in tables.listed.values():
            queue = allocator._queue(allocator._key_of[listed.needle])
            queue.note_shown(listed, allocator._assigned, limits)
        return allocator

    def adopt(self, earlier: Self, new: Mapping[Key, Iterable[RegionId]]) -> None:
        """Keep the order of candidates of an earlier allocator on the same tables.

        No frame was released since, and the yields are the same. Sorting all again costs more than
        an epoch does.

        Parameters
        ----------
        earlier : it is not used any more
        new : candidates that are new or replaced since, by failure mode
        """
        is_other = _without_haystack_budget(self._limits) != _without_haystack_budget(
            earlier._limits
        )
        self._releases = earlier._releases + is_other
        for key, queue in self._queues.items():
            if key in earlier._queues:
                queue.adopt(earlier._queues[key], new.get(key, ()))

    def add_needle(self, key: Key, needle: NeedleId, family: FamilyId) -> None:
        """Add a needle to its mode; frames that it held in another mode become free."""
        before = self._key_of.get(needle)
        if before == key:
            return
        if before is not None:
            self.remove_needle(needle)
        self._key_of[needle] = key
        self._queue(key).add_needle(needle, family)

    def remove_needle(self, needle: NeedleId) -> None:
        """Remove a needle; its frames become free."""
        key = self._key_of.get(needle)
        if key is None:
            return
        for frame in self._assigned.frames(needle):
            self.release(frame)
        del self._key_of[needle]
        self._queues[key].needles.remove(needle)
        if not self._queues[key].needles.ids():
            self._queues.pop(key).remove_all_candidates()

    def judge(self, verdicts: Iterable[Verdict]) -> None:
        """Replace the yields of families by those of these verdicts."""
        yields = _yields_of(verdicts)
        if yields != self._yields:
            self._yields.clear()
            self._yields.update(yields)
            for queue in self._queues.values():
                queue.rerank()

    def keep(self, listed: ListedFrame) -> None:
        """Keep a frame on the shortlist of an active needle, whatever the limits say."""
        key, frame = self._key_of.get(listed.needle), listed.context.frame
        if key is None or frame in self._assigned.listed:
            return
        self._queue(key).show(listed, self._assigned, self._limits)

    def owner(self, frame: FrameId) -> NeedleId | None:
        """The needle whose shortlist has the frame; None if no shortlist does."""
        listed = self._assigned.listed.get(frame)
        return listed.needle if listed is not None else None

    def count(self, needle: NeedleId) -> int:
        """The number of frames on a needle's shortlist."""
        return self._assigned.count(needle)

    def regions(self, frames: Iterable[FrameId]) -> dict[FrameId, RegionId]:
        """The listed region of those of these frames that are on a shortlist."""
        listed = self._assigned.listed
        return {frame: listed[frame].region for frame in frames if frame in listed}

    def listed(self, key: Key) -> dict[FrameId, RegionId]:
        """The frames on the shortlists of a mode that are not corrected, with their regions."""
        listed = self._assigned.listed
        return {
            frame: listed[frame].region
            for needle in self.needles(key)
            for frame in self._assigned.frames(needle)
            if not listed[frame].corrected
        }

    def frames(self, key: Key) -> set[FrameId]:
        """All frames on the shortlists of a mode."""
        return {frame for needle in self.needles(key) for frame in self._assigned.frames(needle)}

    def correct(self, frame: FrameId) -> None:
        """Mark a listed frame as corrected: it no longer counts toward its mode's turns."""
        listed = self._assigned.listed[frame]
        if not listed.corrected:
            self._assigned.listed[frame] = replace(listed, corrected=True)
            self._queues[self._key_of[listed.needle]].turns -= 1

    def uncorrect(self, frame: FrameId) -> None:
        """Note that the correction of a frame was undone; one that is not listed is ignored."""
        listed = self._assigned.listed.get(frame)
        if listed is not None and listed.corrected:
            self._assigned.listed[frame] = replace(listed, corrected=False)
            self._queues[self._key_of[listed.needle]].turns += 1

    def release(self, frame: FrameId) -> NeedleId:
        """Take a frame off its shortlist; returns the needle that had it."""
        listed = self._assigned.release(frame)
        self._queues[self._key_of[listed.needle]].hide(listed, self._assigned, self._limits)
        self._releases += 1
        return listed.needle

    def needles(self, key: Key) -> list[NeedleId]:
        """The needles of a mode."""
        return self._queues[key].needles.ids() if key in self._queues else []

    def add_candidates(self, key: Key, candidates: Iterable[ScoredCandidate]) -> None:
        """Add candidates to a mode; a region that it already has is replaced."""
        self._queue(key).add_candidates(candidates)
        self._grown.add(key)

    def remove_candidates(self, key: Key, frames: Collection[FrameId]) -> None:
        """Drop a mode's candidates on these frames."""
        if key in self._queues:
            self._queues[key].remove_candidates(frames)

    def remove_all_candidates(self, key: Key) -> None:
        """Drop all candidates of a mode."""
        if key in self._queues:
            self._queues[key].remove_all_candidates()

    def allocate(self, limits: Limits, modes: Collection[Key] | None = None) -> list[Assignment]:
        """Assign as many frames as the budgets allow, best first.

        Parameters
        ----------
        modes : that may be given frames; all if None
        """
        if _without_haystack_budget(limits) != _without_haystack_budget(self._limits):
            self._releases += 1
        self._limits = limits
        assignments = []
        keys = sorted(
            key
            for key, queue in self._queues.items()
            if len(queue.needles) and (modes is None or key in modes)
        )
        waiting = [
            (self._turns(key), self._queues[key].bound(self._releases), number)
            for number, key in enumerate(keys)
        ]
        heapq.heapify(waiting)
        while waiting and len(self._assigned.listed) < limits.budgets.haystack:
            turns, expected, number = heapq.heappop(waiting)
            queue = self._queues[keys[number]]
            queue.reconsider_after(self._releases)
            next_candidate = queue.next_candidate(self._assigned, limits)
            if next_candidate is None:
                continue
            candidate, needle = next_candidate
            negated_worth = queue.rank(candidate)[0]
            if negated_worth > expected:
                # Its best candidate is worth less than expected, so another mode may come first.
                heapq.heappush(waiting, (turns, negated_worth, number))
                continue
            listed = ListedFrame(needle, candidate.region, candidate.context, candidate.family)
            queue.show(listed, self._assigned, limits)
            assignments.append(Assignment(needle, candidate))
            heapq.heappush(waiting, (self._turns(keys[number]), negated_worth, number))
        for key in self._grown & self._queues.keys():
            self._queues[key].keep_best(self._assigned.listed)
        self._grown.clear()
        return assignments

    def shortlists(self) -> Shortlists:
        """The frames on every shortlist now."""
        found: defaultdict[NeedleId, list[FrameId]] = defaultdict(list)
        for frame, listed in sorted(self._assigned.listed.items()):
            found[listed.needle].append(frame)
        return {needle: tuple(frames) for needle, frames in sorted(found.items())}

    def held_back(self, limits: Limits) -> list[HeldBack]:
        """The frames that only a spent budget keeps off shortlists, the most valuable first."""
        found: dict[FrameId, tuple[float, HeldBack]] = {}
        for key, queue in sorted(self._queues.items()):
            for candidate in queue.unassigned(self._assigned, limits):
                budget = self._assigned.spending.exhausted(candidate.task, limits.budgets)
                known = found.get(candidate.context.frame)
                negated_worth = queue.rank(candidate)[0]
                if budget is not None and (known is None or negated_worth < known[0]):
                    found[candidate.context.frame] = negated_worth, HeldBack(key, candidate, budget)
        ordered = sorted(found.items(), key=lambda item: (item[1][0], item[0]))
        return [held for _, (_, held) in ordered]

    def spent(self) -> dict[Budget, int]:
        """How much of the budgets is spent; see `Spending.latest`."""
        return self._assigned.spending.latest()

    def _queue(self, key: Key) -> ModeQueue:
        if key not in self._queues:
            self._queues[key] = ModeQueue(self._yields, self._tables.candidates(key))
        return self._queues[key]

    def _turns(self, key: Key) -> int:
        """The complete turns that each needle of the mode has had; the fewest are served first."""
        queue = self._queues[key]
        return queue.turns // len(queue.needles)


def _without_haystack_budget(limits: Limits) -> Limits:
    """The limits that exclude candidates; the haystack's budget only ends an allocation."""
    return replace(limits, budgets=replace(limits.budgets, haystack=0))
