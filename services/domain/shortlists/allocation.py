"""Allocation: scored candidates are assigned to the shortlists of needles, within the budgets.

Needles of one failure mode would all claim the same frames. Therefore the mode claims, its best
frame first, and every frame goes to one needle only. Failure modes are served round-robin, weighted
by their number of needles, those with the most to gain first, until the budget is spent.

Within a mode, one shortlist is filled before the next is opened: an annotator corrects ten frames
that fail alike as one task, and one frame on each of ten shortlists as ten. A new shortlist is
opened for the needle that the frame resembles most.

A frame whose budget is spent is skipped for the next best; `held_back` names the frames that were
skipped or not reached.

Assignments are kept: as needles, regions and budget grow, the same allocator goes on, and its work
follows what is new. A new allocator starts from nothing, so its shortlists depend only on what is
stored.
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
"""What is equal to here is a tie; beyond it lies rounding."""
_WAITING_MAX = 20_000
"""Offers that a mode holds; beyond it, the worse half is let go."""


class _Given:
    """What has been given out: to whom, and within which limits."""

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

    def fits(self, needle: NeedleId, spot: CaptureContext, limits: Limits) -> bool:
        if self.count(needle) >= limits.size:
            return False
        return spot.drive is None or self._drives[needle, spot.drive] < limits.per_drive

    def give(self, needle: NeedleId, spot: CaptureContext, task: BudgetedTask) -> None:
        self.owners[spot.frame] = needle
        self._tasks[spot.frame] = task
        self.spending.add(task)
        self._listed[needle][spot.frame] = spot
        if spot.drive is not None:
            self._drives[needle, spot.drive] += 1

    def take_back(self, frame: FrameId) -> tuple[NeedleId, CaptureContext]:
        needle = self.owners.pop(frame)
        self.spending.remove(self._tasks.pop(frame))
        spot = self._listed[needle].pop(frame)
        if spot.drive is not None:
            self._drives[needle, spot.drive] -= 1
        return needle, spot


class _Asking:
    """The needles of one mode, and what may be shown for them, best first."""

    def __init__(self) -> None:
        self.needles = NeedleRows()
        self.given = 0
        self._offers: dict[RegionId, ScoredCandidate] = {}
        self._waiting: list[tuple[float, FrameId, RegionId]] = []
        self._shown: defaultdict[DriveId | None, list[CaptureContext]] = defaultdict(list)

    def offer(self, offers: Iterable[ScoredCandidate]) -> None:
        for candidate in offers:
            self._offers[candidate.region] = candidate
            heapq.heappush(self._waiting, _place(candidate))
        if len(self._waiting) > _WAITING_MAX:
            self._keep_best(_WAITING_MAX // 2)

    def withdraw(self, frames: Collection[FrameId]) -> None:
        self._offers = {
            region: offer
            for region, offer in self._offers.items()
            if offer.spot.frame not in frames
        }

    def withdraw_all(self) -> None:
        self._offers.clear()
        self._waiting.clear()

    def offered(self) -> Iterator[FrameId]:
        return (offer.spot.frame for offer in self._offers.values())

    def next_candidate(self, given: _Given, limits: Limits) -> tuple[ScoredCandidate, int] | None:
        """The best region that can still be had, and the row of the needle that would get it."""
        while self._waiting and self.needles.any_waiting():
            place = self._waiting[0]
            offer = self._offers.get(place[2])
            if (
                offer is not None
                and place == _place(offer)
                and not given.spending.exhausted(offer.task, limits.budgets)
            ):
                spot = offer.spot
                if spot.frame not in given.owners and not self._repeats(spot, limits):
                    row = self._taker(offer, given, limits)
                    if row is not None:
                        return offer, row
                del self._offers[offer.region]
            heapq.heappop(self._waiting)
        return None

    def take(self, offer: ScoredCandidate, row: int, given: _Given, limits: Limits) -> Assignment:
        """Give a region to a needle."""
        similarity = float(self.needles.similarity(row, offer.vector))
        del self._offers[offer.region]
        self.show(row, offer.spot, offer.task, given, limits)
        return Assignment(self.needles.id_of(row), offer, similarity)

    def show(
        self, row: int, spot: CaptureContext, task: BudgetedTask, given: _Given, limits: Limits
    ) -> None:
        """Note a frame on a needle's shortlist."""
        needle = self.needles.id_of(row)
        given.give(needle, spot, task)
        self._shown[spot.drive].append(spot)
        self.needles.open(row)
        if given.count(needle) >= limits.size:
            self.needles.fill(row)

    def hide(self, needle: NeedleId, spot: CaptureContext, given: _Given) -> None:
        """A frame was taken off a needle's shortlist."""
        self._shown[spot.drive].remove(spot)
        row = self.needles.row_of(needle)
        if given.count(needle):
            self.needles.open(row)
        else:
            self.needles.close(row)

    def left(self, given: _Given, limits: Limits) -> Iterator[ScoredCandidate]:
        """What could be shown beyond what is, best first, and no place twice."""
        if not self.needles.any_waiting():
            return
        passed: defaultdict[DriveId | None, list[CaptureContext]] = defaultdict(list)
        for _, _, region in sorted(map(_place, self._offers.values())):
            offer = self._offers[region]
            spot = offer.spot
            if spot.frame in given.owners or self._repeats(spot, limits):
                continue
            if spot.drive is not None and any(near(spot, o, limits) for o in passed[spot.drive]):
                continue
            passed[spot.drive].append(spot)
            yield offer

    def _repeats(self, spot: CaptureContext, limits: Limits) -> bool:
        return spot.drive is not None and any(
            near(spot, other, limits) for other in self._shown[spot.drive]
        )

    def _taker(self, offer: ScoredCandidate, given: _Given, limits: Limits) -> int | None:
        able = [
            row
            for row in self.needles.opened()
            if given.fits(self.needles.id_of(row), offer.spot, limits)
        ]
        if able:
            return self.needles.most_similar_of(able, offer.vector)
        return self.needles.most_similar_closed(offer.vector)

    def _keep_best(self, count: int) -> None:
        best = heapq.nsmallest(count, (_place(offer) for offer in self._offers.values()))
        self._offers = {place[2]: self._offers[place[2]] for place in best}
        self._waiting = best


def _place(offer: ScoredCandidate) -> tuple[float, FrameId, RegionId]:
    return -round(offer.worth, _WORTH_DECIMALS), offer.spot.frame, offer.region


class BudgetAllocator:
    """Deals frames to needles, and deals on as more of both come."""

    def __init__(self) -> None:
        self._given = _Given()
        self._asking: defaultdict[Key, _Asking] = defaultdict(_Asking)
        self._key_of: dict[NeedleId, Key] = {}

    def ask(self, key: Key, needle: NeedleId, vector: Vectors) -> None:
        """Let a needle ask with its mode; what it was dealt as one of another mode is taken back.

        Parameters
        ----------
        vector : (D,) float32, unit length
        """
        before = self._key_of.get(needle)
        if before == key:
            return
        if before is not None:
            self.retire(needle)
        self._key_of[needle] = key
        self._asking[key].needles.add(needle, vector)

    def retire(self, needle: NeedleId) -> None:
        """Let a needle ask no more; what it was dealt is free."""
        key = self._key_of.get(needle)
        if key is None:
            return
        for frame in self._given.frames(needle):
            self.take_back(frame)
        del self._key_of[needle]
        self._asking[key].needles.remove(needle)

    def keep(
        self, needle: NeedleId, spot: CaptureContext, family: FamilyId, limits: Limits
    ) -> None:
        """Count a frame that stays on a needle's shortlist come what may."""
        asking, task = self._asking[self._key_of[needle]], task_of(spot, family)
        asking.show(asking.needles.row_of(needle), spot, task, self._given, limits)

    def owner(self, frame: FrameId) -> NeedleId | None:
        """The needle on whose shortlist a frame is."""
        return self._given.owners.get(frame)

    def take_back(self, frame: FrameId) -> NeedleId:
        """Take a frame off its shortlist; whose that was."""
        needle, spot = self._given.take_back(frame)
        asking = self._asking[self._key_of[needle]]
        asking.hide(needle, spot, self._given)
        asking.given = max(0, asking.given - 1)
        return needle

    def needles(self, key: Key) -> list[NeedleId]:
        """Those that ask with a mode."""
        return self._asking[key].needles.ids()

    def vectors(self, key: Key) -> Vectors:
        """(M, D), theirs."""
        return self._asking[key].needles.vectors()

    def offer(self, key: Key, offers: Iterable[ScoredCandidate]) -> None:
        """Show a mode more of the haystack."""
        self._asking[key].offer(offers)

    def offered(self, key: Key) -> set[FrameId]:
        """The frames that a mode may still be shown."""
        return set(self._asking[key].offered())

    def withdraw(self, key: Key, frames: Collection[FrameId]) -> None:
        """A mode may no longer be shown these, until they are offered again."""
        self._asking[key].withdraw(frames)

    def withdraw_all(self, key: Key) -> None:
        """Nothing that a mode was offered may be shown."""
        self._asking[key].withdraw_all()

    def allocate(self, limits: Limits) -> list[Assignment]:
        """Give out what the budget allows, best first."""
        assignments = []
        keys = sorted(key for key, asking in self._asking.items() if len(asking.needles))
        waiting = [(self._round(key), -math.inf, number) for number, key in enumerate(keys)]
        heapq.heapify(waiting)
        while waiting and len(self._given.owners) < limits.budgets.haystack:
            round_, hoped, number = heapq.heappop(waiting)
            asking = self._asking[keys[number]]
            next_candidate = asking.next_candidate(self._given, limits)
            if next_candidate is None:
                continue
            offer, row = next_candidate
            if -offer.worth > hoped:
                # Others may have more to gain by now.
                heapq.heappush(waiting, (round_, -offer.worth, number))
                continue
            assignments.append(asking.take(offer, row, self._given, limits))
            asking.given += 1
            heapq.heappush(waiting, (self._round(keys[number]), -offer.worth, number))
        return assignments

    def held_back(self, limits: Limits) -> list[HeldBack]:
        """The frames that would be listed, were no budget spent; what gains most comes first."""
        found: dict[FrameId, HeldBack] = {}
        for key, asking in sorted(self._asking.items()):
            for offer in asking.left(self._given, limits):
                budget = self._given.spending.exhausted(offer.task, limits.budgets)
                known = found.get(offer.spot.frame)
                if budget is not None and (known is None or offer.worth > known.offer.worth):
                    found[offer.spot.frame] = HeldBack(key, offer, budget)
        return sorted(found.values(), key=lambda item: _place(item.offer))

    def spent(self) -> dict[Budget, int]:
        """What is spent: see `Spending.latest`."""
        return self._given.spending.latest()

    def _round(self, key: Key) -> int:
        asking = self._asking[key]
        return asking.given // len(asking.needles)
