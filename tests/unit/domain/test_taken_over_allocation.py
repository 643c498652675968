"""An allocator that keeps the order of candidates over others' epochs assigns as a new one does."""

import copy
import random
from collections import defaultdict

import pytest

from services.contracts.identity import FamilyId, NeedleId, RegionId
from services.domain.shortlists.allocation import AllocationTables, BudgetAllocator
from services.domain.shortlists.mode_queue import ModeQueue, Rank
from services.domain.shortlists.scored_candidates import Key, ScoredCandidate
from tests.unit.domain.test_allocation import candidate, context, limits

KEYS: list[Key] = [("a",), ("b",), ("c",)]
NEEDLES = [
    (key, NeedleId(f"{key[0]}{number}"), FamilyId(f"{key[0]}{number % 2}"))
    for key in KEYS
    for number in range(3)
]


class Tables:
    """The tables of one process."""

    def __init__(self) -> None:
        self.candidates: defaultdict[Key, dict[RegionId, ScoredCandidate]] = defaultdict(dict)
        self.of = AllocationTables(candidates=self.candidates.__getitem__)

    def allocator(self) -> BudgetAllocator:
        return BudgetAllocator.restored(limits(), self.of, NEEDLES)

    def copied(self) -> "Tables":
        found = Tables()
        found.of.listed.update(self.of.listed)
        for key, rows in self.candidates.items():
            found.candidates[key] = copy.copy(rows)
        return found


def drawn(draw: random.Random, key: Key) -> ScoredCandidate:
    frame, family = draw.randrange(40), FamilyId(f"{key[0]}{draw.randrange(2)}")
    seen = context(f"f{frame:02d}", f"d{frame % 4}", second=frame)
    return candidate(seen, draw.randrange(1, 9), family, f"{key[0]}-{frame}")


@pytest.mark.parametrize("seed", range(50))
def test_it_assigns_as_one_that_sorts_all_candidates(seed: int) -> None:
    draw = random.Random(seed)
    tables = Tables()
    process = tables.allocator()
    for epoch in range(6):
        # What another process did in its epoch, which sorted all.
        other = tables.copied()
        closing = other.allocator()
        for _ in range(draw.randrange(6)):
            key = draw.choice(KEYS)
            closing.add_candidates(key, [drawn(draw, key)])
        closing.allocate(limits(4 * epoch, size=3, per_drive=2, apart_s=1))
        new = {
            key: [
                region for region, row in rows.items() if tables.candidates[key].get(region) != row
            ]
            for key, rows in other.candidates.items()
        }
        tables.of.listed.update(other.of.listed)
        for key, rows in other.candidates.items():
            tables.candidates[key].clear()
            tables.candidates[key].update(rows)
        earlier, process = process, tables.allocator()
        process.adopt(earlier, new)
        plain = tables.copied().allocator()
        budget = limits(4 * epoch + 2, size=3, per_drive=2, apart_s=1)
        process.allocate(budget)
        plain.allocate(budget)
        assert process.shortlists() == plain.shortlists()


def test_it_sorts_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables()
    process = tables.allocator()
    draw = random.Random(0)
    for key in KEYS:
        process.add_candidates(key, [drawn(draw, key) for _ in range(30)])
    process.allocate(limits(5))
    following = tables.allocator()
    following.adopt(process, {})
    ranked: list[ScoredCandidate] = []
    rank = ModeQueue.rank

    def noted(queue: ModeQueue, of: ScoredCandidate) -> Rank:
        ranked.append(of)
        return rank(queue, of)

    monkeypatch.setattr(ModeQueue, "rank", noted)
    following.allocate(limits(6))
    assert 0 < len(ranked) < 10
