"""Budgets on small worlds: what is dealt, what is held back, and by which of them."""

import random

import numpy as np
import pytest

from services.contracts.identity import FamilyId, FrameId, NeedleId, RegionId, VehicleId
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.budgets import (
    Budget,
    BudgetedTask,
    Budgets,
    Spending,
    day_of,
    hoped_yield,
)
from services.domain.shortlists.scored_candidates import CaptureContext, Limits, ScoredCandidate

DAY_S = 86_400
KEY = ("detector", "stop sign", "background", "")
NEEDLE = NeedleId("n")


def limits(haystack: int = 100, **budgets: int) -> Limits:
    return Limits(Budgets(haystack, **budgets), size=100, per_drive=100, apart_s=0.0, apart_m=0.0)


def offer(
    name: str, worth: float, *, day: int = 0, vehicle: str = "v", family: str = "f"
) -> ScoredCandidate:
    spot = CaptureContext(FrameId(name), None, day * DAY_S + 1.0, None, VehicleId(vehicle))
    vector = np.ones(1, np.float32)
    return ScoredCandidate(RegionId(f"on-{name}"), spot, vector, worth, 1.0, FamilyId(family))


def asked(*offers: ScoredCandidate) -> BudgetAllocator:
    dealer = BudgetAllocator()
    dealer.ask(KEY, NEEDLE, np.ones(1, np.float32))
    dealer.offer(KEY, offers)
    return dealer


def dealt(dealer: BudgetAllocator, given: Limits) -> list[str]:
    return [each.offer.spot.frame for each in dealer.allocate(given)]


def held(dealer: BudgetAllocator, given: Limits) -> list[tuple[str, str]]:
    return [(each.offer.spot.frame, each.budget.value) for each in dealer.held_back(given)]


def test_of_each_day_the_best_frames_are_listed_and_the_others_held_back() -> None:
    dealer = asked(
        offer("a1", 5), offer("a2", 4), offer("a3", 3), offer("b1", 2, day=1), offer("b2", 1, day=1)
    )
    given = limits(day=1)
    assert dealt(dealer, given) == ["a1", "b1"]
    assert held(dealer, given) == [("a2", "day"), ("a3", "day"), ("b2", "day")]


def test_a_vehicle_has_its_share_of_a_day_and_another_day_has_its_own() -> None:
    dealer = asked(
        offer("a", 5, vehicle="v"),
        offer("b", 4, vehicle="v"),
        offer("c", 3, vehicle="w"),
        offer("d", 2, vehicle="v", day=1),
    )
    given = limits(vehicle=1)
    assert dealt(dealer, given) == ["a", "c", "d"]
    assert held(dealer, given) == [("b", "vehicle")]


def test_a_family_has_its_share_of_a_day() -> None:
    dealer = asked(offer("a", 5), offer("b", 4), offer("c", 3, family="g"))
    given = limits(family=1)
    assert dealt(dealer, given) == ["a", "c"]
    assert held(dealer, given) == [("b", "family")]


def test_the_first_budget_that_is_spent_is_named() -> None:
    offers = [offer("a", 5), offer("b", 4)]
    for given, budget in (
        (limits(haystack=1, day=1, vehicle=1, family=1), "haystack"),
        (limits(day=1, vehicle=1, family=1), "day"),
        (limits(vehicle=1, family=1), "vehicle"),
    ):
        dealer = asked(*offers)
        assert dealt(dealer, given) == ["a"]
        assert held(dealer, given) == [("b", budget)]


def test_what_no_budget_holds_back_is_not_listed_as_held_back() -> None:
    dealer = asked(offer("a", 5), offer("b", 4))
    full = Limits(Budgets(1), size=1, per_drive=1, apart_s=0.0, apart_m=0.0)
    assert dealt(dealer, full) == ["a"]
    # The needle's shortlist is full: more budget would list nothing.
    assert held(dealer, full) == []
    assert held(asked(offer("a", 5)), limits()) == []


def test_a_place_is_held_back_once() -> None:
    spots = [
        CaptureContext(FrameId(name), "d", second, None, VehicleId("v"))  # type: ignore[arg-type]
        for name, second in (("a", 0.0), ("b", 10.0), ("c", 10.5))
    ]
    rows = [
        ScoredCandidate(RegionId(s.frame), s, np.ones(1, np.float32), 1.0, 1.0, FamilyId("f"))
        for s in spots
    ]
    dealer = asked(*rows)
    given = Limits(Budgets(1), size=9, per_drive=9, apart_s=1.0, apart_m=0.0)
    assert dealt(dealer, given) == ["a"]
    assert held(dealer, given) == [("b", "haystack")]


def test_what_is_kept_is_spent_and_what_is_taken_back_is_not() -> None:
    given = limits(day=1)
    dealer = asked(offer("a", 5))
    dealer.keep(NEEDLE, offer("z", 1).spot, FamilyId("f"), given)
    assert dealt(dealer, given) == []
    assert dealer.spent()[Budget.DAY] == 1
    dealer.take_back(FrameId("z"))
    dealer.offer(KEY, [offer("a", 5)])
    assert dealt(dealer, given) == ["a"]


@pytest.mark.parametrize("seed", range(10))
def test_offers_in_any_order_and_repeated_spend_the_same(seed: int) -> None:
    rng = random.Random(seed)
    offers = [
        offer(f"f{n:02d}", n % 7, day=n % 3, vehicle=f"v{n % 2}", family=f"g{n % 4}")
        for n in range(1, 40)
        if n % 7
    ]
    given = limits(20, day=8, vehicle=5, family=3)
    shaken = rng.sample(offers, len(offers)) + rng.sample(offers, 5)
    plain, other = asked(*offers), asked(*shaken)
    assert dealt(other, given) == dealt(plain, given)
    assert held(other, given) == held(plain, given)


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
    assert hoped_yield(0, 0) == 1.0
    assert hoped_yield(3, 3) == 1.0


@pytest.mark.parametrize(
    ("confirmed", "judged", "upper"), [(0, 10, 0.2775), (5, 10, 0.7634), (1, 100, 0.0545)]
)
def test_what_a_family_yielded_is_taken_at_the_upper_end_of_wilsons_interval(
    confirmed: int, judged: int, upper: float
) -> None:
    # Wilson intervals as they are tabulated.
    assert hoped_yield(confirmed, judged) == pytest.approx(upper, abs=1e-4)


def test_a_family_that_disappoints_is_tried_less_the_more_is_known() -> None:
    hoped = [hoped_yield(n // 5, n) for n in (5, 10, 50, 500)]
    assert hoped == sorted(hoped, reverse=True)
    assert hoped[-1] > 0.2
