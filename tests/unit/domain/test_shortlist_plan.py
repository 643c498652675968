from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import DriveId, FamilyId, FrameId, NeedleId, RegionId, VehicleId
from services.domain.mining.ranking import Vectors
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.budgets import Budgets
from services.domain.shortlists.scored_candidates import (
    CaptureContext,
    Limits,
    ScoredCandidate,
    near,
)

VEHICLE = VehicleId("v")
FAMILY = FamilyId("f")
WIDE = Limits(Budgets(100), size=100, per_drive=100, apart_s=0.0, apart_m=0.0)


@dataclass(frozen=True)
class Group:
    """A mode: its needles with their vectors, and what it is offered."""

    needles: Mapping[str, Vectors]
    offers: Sequence[ScoredCandidate]


def spot(
    name: str, drive: str | None = None, second: float = 0.0, east_m: float = 0.0
) -> CaptureContext:
    degrees = east_m / 111_195
    return CaptureContext(
        FrameId(name), DriveId(drive) if drive else None, second, (0.0, degrees), VEHICLE
    )


def offer(seen: CaptureContext, worth: float, vector: Sequence[float] = (1.0,)) -> ScoredCandidate:
    return ScoredCandidate(
        RegionId(f"on-{seen.frame}"), seen, np.array(vector, np.float32), worth, 1.0, FAMILY
    )


def group(needles: str, **worths: float) -> Group:
    """Needles of one letter each, frames without a drive, all equally similar."""
    return alike(needles, [spot(name) for name in worths], list(worths.values()))


def alike(needles: str, spots: Sequence[CaptureContext], worths: Sequence[float]) -> Group:
    offers = [offer(seen, worth) for seen, worth in zip(spots, worths, strict=True)]
    return Group({needle: np.ones(1, np.float32) for needle in needles}, offers)


def similar(similarity: Mapping[str, Sequence[float]], **worths: float) -> Group:
    """Needles by how similar each is to each frame."""
    rows = np.eye(len(worths))
    offers = [
        offer(spot(name), worth, row)
        for (name, worth), row in zip(worths.items(), rows.tolist(), strict=True)
    ]
    return Group({each: np.array(row, np.float32) for each, row in similarity.items()}, offers)


def asked(groups: Sequence[Group]) -> BudgetAllocator:
    dealer = BudgetAllocator()
    for number, each in enumerate(groups):
        key = (str(number),)
        for needle, vector in each.needles.items():
            dealer.ask(key, NeedleId(needle), vector)
        dealer.offer(key, [one for one in each.offers if one.worth > 0])
    return dealer


def dealt(
    groups: Sequence[Group],
    limits: Limits = WIDE,
    kept: Mapping[NeedleId, Sequence[CaptureContext]] | None = None,
) -> dict[str, list[str]]:
    dealer = asked(groups)
    for needle, spots in (kept or {}).items():
        for each in spots:
            dealer.keep(needle, each, FAMILY, limits)
    return frames_of(dealer, limits)


def frames_of(dealer: BudgetAllocator, limits: Limits = WIDE) -> dict[str, list[str]]:
    """What is dealt now, by needle."""
    chosen: dict[str, list[str]] = {}
    for each in dealer.allocate(limits):
        chosen.setdefault(each.needle, []).append(each.offer.spot.frame)
    return chosen


def limits(
    budget: int = 100, size: int = 100, per_drive: int = 100, apart_s: float = 0, apart_m: float = 0
) -> Limits:
    return Limits(Budgets(budget), size, per_drive, apart_s, apart_m)


def test_a_needle_gets_the_frames_of_most_worth_best_first() -> None:
    assert dealt([group("n", a=0.2, b=0.9, c=0.5)]) == {"n": ["b", "c", "a"]}


def test_frames_of_equal_worth_come_by_name() -> None:
    assert dealt([group("n", c=1.0, a=1.0, b=1.0)]) == {"n": ["a", "b", "c"]}


def test_a_frame_of_no_worth_is_not_shown() -> None:
    assert dealt([group("n", a=0.0, b=0.1)]) == {"n": ["b"]}


def test_needles_of_a_mode_share_its_frames_and_none_is_shown_twice() -> None:
    one = group("mn", a=4, b=3, c=2, d=1)
    assert dealt([one], limits(size=2)) == {"m": ["a", "b"], "n": ["c", "d"]}


def test_a_shortlist_is_opened_for_the_most_similar_needle_and_filled_first() -> None:
    one = similar({"m": [0.1, 0.9, 0.9], "n": [0.8, 0.2, 0.2]}, a=3, b=2, c=1)
    assert dealt([one], limits(size=2)) == {"n": ["a", "b"], "m": ["c"]}


def test_of_two_open_shortlists_the_more_similar_needles_gets_the_frame() -> None:
    one = similar({"m": [0.9, 0.0, 0.1], "n": [0.0, 0.9, 0.8]}, b=3, c=2, d=1)
    kept = {NeedleId("m"): [spot("a")], NeedleId("n"): [spot("e")]}
    assert dealt([one], WIDE, kept) == {"m": ["b"], "n": ["c", "d"]}


def test_two_regions_of_one_frame_are_one_frame() -> None:
    one = group("n", a=3, b=1)
    again = ScoredCandidate(
        RegionId("another-on-a"), spot("a"), np.ones(1, np.float32), 2.0, 1.0, FAMILY
    )
    assert dealt([Group(one.needles, [*one.offers, again])]) == {"n": ["a", "b"]}


def test_a_frame_goes_to_the_mode_that_gains_most_by_it() -> None:
    groups = [group("m", a=1.0, b=0.9), group("n", a=2.0, b=0.1)]
    assert dealt(groups) == {"n": ["a"], "m": ["b"]}


def test_in_each_round_a_mode_gets_as_many_frames_as_it_has_needles() -> None:
    groups = [group("m", a=9, b=8, c=7), group("n", d=1)]
    assert dealt(groups, limits(budget=2)) == {"m": ["a"], "n": ["d"]}
    groups = [group("mo", a=9, b=8, c=7), group("n", d=1)]
    assert dealt(groups, limits(budget=3)) == {"m": ["a", "b"], "n": ["d"]}


def test_the_budget_goes_to_those_with_most_to_gain() -> None:
    groups = [group("m", a=1), group("n", b=3), group("o", c=2)]
    assert dealt(groups, limits(budget=2)) == {"n": ["b"], "o": ["c"]}


def test_a_shortlist_has_its_size_and_the_next_needle_takes_the_rest() -> None:
    assert dealt([group("mn", a=4, b=3, c=2)], limits(size=1)) == {"m": ["a"], "n": ["b"]}


def test_a_needle_sees_few_frames_of_a_drive() -> None:
    spots = [spot("a", "d1"), spot("b", "d1"), spot("c", "d2")]
    one = alike("n", spots, [3, 2, 1])
    assert dealt([one], limits(per_drive=1)) == {"n": ["a", "c"]}


def test_frames_without_a_drive_are_not_capped() -> None:
    assert dealt([group("n", a=2, b=1)], limits(per_drive=1)) == {"n": ["a", "b"]}


def test_a_mode_is_not_shown_one_place_twice() -> None:
    spots = [spot("a", "d1", 0.0), spot("b", "d1", 0.5), spot("c", "d1", 2.0)]
    assert dealt([alike("mn", spots, [3, 2, 1])], limits(apart_s=1.0)) == {"m": ["a", "c"]}


def test_what_is_kept_counts_in_every_limit_and_is_not_dealt_again() -> None:
    kept = {NeedleId("n"): [spot("a")]}
    assert dealt([group("n", a=3, b=2, c=1)], limits(budget=2), kept) == {"n": ["b"]}
    assert dealt([group("n", a=3, b=2, c=1)], limits(size=1), kept) == {}


def test_near_is_close_in_time_or_in_place_on_one_drive() -> None:
    apart = limits(apart_s=1.0, apart_m=5.0)
    here = spot("a", "d1", 0.0, 0.0)
    assert near(here, spot("b", "d1", 0.9, 100.0), apart)
    assert near(here, spot("b", "d1", 60.0, 4.0), apart)
    assert not near(here, spot("b", "d1", 60.0, 6.0), apart)
    assert not near(here, spot("b", "d2", 0.0, 0.0), apart)


def test_without_a_mode_or_a_frame_nothing_is_dealt() -> None:
    assert dealt([]) == {}
    assert dealt([group("n")]) == {}


def test_what_is_dealt_stays_dealt_and_a_larger_budget_admits_the_next_best() -> None:
    dealer = asked([group("m", a=1, b=2)])
    assert frames_of(dealer, limits(budget=1)) == {"m": ["b"]}
    dealer.offer(("0",), [offer(spot("c"), 9)])
    assert frames_of(dealer, limits(budget=1)) == {}
    assert frames_of(dealer, limits(budget=3)) == {"m": ["c", "a"]}


def test_rounds_go_on_where_they_were() -> None:
    dealer = asked([group("m", a=9, b=8, c=7), group("n", d=1)])
    assert frames_of(dealer, limits(budget=1)) == {"m": ["a"]}
    assert frames_of(dealer, limits(budget=2)) == {"n": ["d"]}
    assert frames_of(dealer, limits(budget=3)) == {"m": ["b"]}


def test_a_needle_more_opens_another_shortlist() -> None:
    dealer = asked([group("m", a=3, b=2)])
    assert frames_of(dealer, limits(size=1)) == {"m": ["a"]}
    dealer.ask(("0",), NeedleId("n"), np.ones(1, np.float32))
    assert frames_of(dealer, limits(size=1)) == {"n": ["b"]}


def test_what_is_taken_back_may_be_offered_and_dealt_again() -> None:
    dealer = asked([group("m", a=1, b=2)])
    frames_of(dealer, limits(size=2))
    assert dealer.take_back(FrameId("b")) == "m"
    assert dealer.owner(FrameId("b")) is None
    dealer.offer(("0",), [offer(spot("b"), 2)])
    assert frames_of(dealer, limits(size=2)) == {"m": ["b"]}


def test_a_needle_that_retires_sets_its_frames_free() -> None:
    dealer = asked([group("m", a=1)])
    frames_of(dealer)
    dealer.retire(NeedleId("m"))
    dealer.ask(("0",), NeedleId("n"), np.ones(1, np.float32))
    dealer.offer(("0",), [offer(spot("a"), 1)])
    assert frames_of(dealer) == {"n": ["a"]}


def test_a_needle_of_another_mode_than_before_asks_with_that_one() -> None:
    dealer = asked([group("m", a=1), group("n", b=1)])
    frames_of(dealer, limits(size=1))
    dealer.ask(("1",), NeedleId("m"), np.ones(1, np.float32))
    dealer.offer(("1",), [offer(spot("c"), 1)])
    assert dealer.needles(("1",)) == ["n", "m"]
    assert frames_of(dealer, limits(size=1)) == {"m": ["c"]}


def test_what_is_withdrawn_is_not_dealt_until_it_is_offered_again() -> None:
    dealer = asked([group("m", a=3, b=2)])
    dealer.withdraw(("0",), [FrameId("a")])
    assert dealer.offered(("0",)) == {"b"}
    assert frames_of(dealer) == {"m": ["b"]}
    dealer.offer(("0",), [offer(spot("a"), 1)])
    assert frames_of(dealer) == {"m": ["a"]}


def test_a_region_counts_as_it_was_offered_last() -> None:
    dealer = asked([group("m", a=3, b=2)])
    dealer.offer(("0",), [offer(spot("a"), 1)])
    assert frames_of(dealer) == {"m": ["b", "a"]}
