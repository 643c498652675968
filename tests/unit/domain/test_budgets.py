"""Budgets on small worlds: what is dealt, what is held back, and by which of them."""

import random

import pytest

from services.contracts.identity import FamilyId, FrameId, NeedleId, RegionId, VehicleId
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.budgets import (
    Budget,
    BudgetedTask,
    Budgets,
    Spending,
    day_of,
    optimistic_yield,
)
from services.domain.shortlists.scored_candidates import (
    CaptureContext,
    Limits,
    ListedFrame,
    ScoredCandidate,
)

DAY_S = 86_400
KEY = ("detector", "stop sign", "background", "")
NEEDLE = NeedleId("n")


def limits(haystack: int = 100, **budgets: int) -> Limits:
    return Limits(Budgets(haystack, **budgets), size=100, per_drive=100, apart_s=0.0, apart_m=0.0)


def candidate(
    name: str, worth: float, *, day: int = 0, vehicle: str = "v", family: str = "f"
) -> ScoredCandidate:
    context = CaptureContext(FrameId(name), None, day * DAY_S + 1.0, None, VehicleId(vehicle))
    return ScoredCandidate(RegionId(f"on-{name}"), context, worth, 1.0, FamilyId(family))


def allocator_of(*candidates: ScoredCandidate) -> BudgetAllocator:
    allocator = BudgetAllocator(limits())
    allocator.add_needle(KEY, NEEDLE, FamilyId("f"))
    allocator.add_candidates(KEY, candidates)
    return allocator


def allocated(allocator: BudgetAllocator, budget_limits: Limits) -> list[str]:
    return [assignment.candidate.context.frame for assignment in allocator.allocate(budget_limits)]


def held(allocator: BudgetAllocator, budget_limits: Limits) -> list[tuple[str, str]]:
    return [
        (withheld.candidate.context.frame, withheld.budget.value)
        for withheld in allocator.held_back(budget_limits)
    ]


def test_of_each_day_the_best_frames_are_listed_and_the_others_held_back() -> None:
    allocator = allocator_of(
        candidate("a1", 5),
        candidate("a2", 4),
        candidate("a3", 3),
        candidate("b1", 2, day=1),
        candidate("b2", 1, day=1),
    )
    budget_limits = limits(day=1)
    assert allocated(allocator, budget_limits) == ["a1", "b1"]
    assert held(allocator, budget_limits) == [("a2", "day"), ("a3", "day"), ("b2", "day")]


def test_a_vehicle_has_its_share_of_a_day_and_another_day_has_its_own() -> None:
    allocator = allocator_of(
        candidate("a", 5, vehicle="v"),
        candidate("b", 4, vehicle="v"),
        candidate("c", 3, vehicle="w"),
        candidate("d", 2, vehicle="v", day=1),
    )
    budget_limits = limits(vehicle=1)
    assert allocated(allocator, budget_limits) == ["a", "c", "d"]
    assert held(allocator, budget_limits) == [("b", "vehicle")]


def test_a_family_has_its_share_of_a_day() -> None:
    allocator = allocator_of(candidate("a", 5), candidate("b", 4), candidate("c", 3, family="g"))
    budget_limits = limits(family=1)
    assert allocated(allocator, budget_limits) == ["a", "c"]
    assert held(allocator, budget_limits) == [("b", "family")]


def test_the_first_budget_that_is_spent_is_named() -> None:
    candidates = [candidate("a", 5), candidate("b", 4)]
    for budget_limits, budget in (
        (limits(haystack=1, day=1, vehicle=1, family=1), "haystack"),
        (limits(day=1, vehicle=1, family=1), "day"),
        (limits(vehicle=1, family=1), "vehicle"),
    ):
        allocator = allocator_of(*candidates)
        assert allocated(allocator, budget_limits) == ["a"]
        assert held(allocator, budget_limits) == [("b", budget)]


def test_what_no_budget_holds_back_is_not_listed_as_held_back() -> None:
    allocator = allocator_of(candidate("a", 5), candidate("b", 4))
    full = Limits(Budgets(1), size=1, per_drive=1, apart_s=0.0, apart_m=0.0)
    assert allocated(allocator, full) == ["a"]
    # The needle's shortlist is full: more budget would list nothing.
    assert held(allocator, full) == []
    assert held(allocator_of(candidate("a", 5)), limits()) == []


def test_a_place_is_held_back_once() -> None:
    contexts = [
        CaptureContext(FrameId(name), "d", second, None, VehicleId("v"))  # type: ignore[arg-type]
        for name, second in (("a", 0.0), ("b", 10.0), ("c", 10.5))
    ]
    rows = [ScoredCandidate(RegionId(s.frame), s, 1.0, 1.0, FamilyId("f")) for s in contexts]
    allocator = allocator_of(*rows)
    budget_limits = Limits(Budgets(1), size=9, per_drive=9, apart_s=1.0, apart_m=0.0)
    assert allocated(allocator, budget_limits) == ["a"]
    assert held(allocator, budget_limits) == [("b", "haystack")]


def test_what_is_kept_is_spent_and_what_is_taken_back_is_not() -> None:
    budget_limits = limits(day=1)
    allocator = allocator_of(candidate("a", 5))
    other = candidate("z", 1)
    allocator.keep(ListedFrame(NEEDLE, other.region, other.context, FamilyId("f")))
    assert allocated(allocator, budget_limits) == []
    assert allocator.spent()[Budget.DAY] == 1
    allocator.release(FrameId("z"))
    assert allocated(allocator, budget_limits) == ["a"]


@pytest.mark.parametrize("seed", range(10))
def test_offers_in_any_order_and_repeated_spend_the_same(seed: int) -> None:
    rng = random.Random(seed)
    candidates = [
        candidate(f"f{n:02d}", n % 7, day=n % 3, vehicle=f"v{n % 2}", family=f"g{n % 4}")
        for n in range(1, 40)
        if n % 7
    ]
    budget_limits = limits(20, day=8, vehicle=5, family=3)
    shaken = rng.sample(candidates, len(candidates)) + rng.sample(candidates, 5)
    plain, other = allocator_of(*candidates), allocator_of(*shaken)
    assert allocated(other, budget_limits) == allocated(plain, budget_limits)
    assert held(other, budget_limits) == held(plain, budget_limits)


def test_of_the_latest_day_the_most_of_one_vehicle_and_one_family_is_told() -> None:
    spending = Spending()
    for vehicle, family, day in (("v", "f", 1), ("v", "f", 1), ("v", "f", 2), ("w", "f", 2)):
        spending.add(BudgetedTask(day, VehicleId(vehicle), FamilyId(family)))
    assert list(spending.latest().values()) == [4, 2, 1, 2]
    spending.remove(BudgetedTask(2, VehicleId("w"), FamilyId("f")))
    spending.remove(BudgetedTask(2, VehicleId("v"), FamilyId("f")))
    assert list(spending.latest().values()) == [2, 2, 2, 2]
    assert list(Spending().latest().values()) == [0, 0, 0, 0]


def test_a_day_begins_at_midnight_utc() -> None:
    assert [day_of(second) for second in (-0.5, 0.0, DAY_S - 0.001, DAY_S)] == [-1, 0, 0, 1]


def test_a_family_that_was_not_judged_counts_as_if_all_came_true() -> None:
    assert optimistic_yield(0, 0) == 1.0
    assert optimistic_yield(3, 3) == 1.0


@pytest.mark.parametrize(
    ("confirmed", "judged", "upper"), [(0, 10, 0.2775), (5, 10, 0.7634), (1, 100, 0.0545)]
)
def test_what_a_family_yielded_is_taken_at_the_upper_end_of_wilsons_interval(
    confirmed: int, judged: int, upper: float
) -> None:
    # Wilson intervals as they are tabulated.
    assert optimistic_yield(confirmed, judged) == pytest.approx(upper, abs=1e-4)


def test_a_family_that_disappoints_is_tried_less_the_more_is_known() -> None:
    yields = [optimistic_yield(n // 5, n) for n in (5, 10, 50, 500)]
    assert yields == sorted(yields, reverse=True)
    assert yields[-1] > 0.2
