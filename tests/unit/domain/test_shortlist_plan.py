from collections.abc import Mapping, Sequence

import numpy as np

from services.contracts.identity import DriveId, FrameId, NeedleId
from services.domain.shortlist_plan import Group, Limits, Spot, deal, near

WIDE = Limits(budget=100, size=100, per_drive=100, apart_s=0.0, apart_m=0.0)


def spot(name: str, drive: str | None = None, second: float = 0.0, east_m: float = 0.0) -> Spot:
    degrees = east_m / 111_195
    return Spot(FrameId(name), DriveId(drive) if drive else None, second, (0.0, degrees))


def group(needles: str, **worths: float) -> Group:
    """Needles of one letter each, frames without a drive, all equally similar."""
    return alike(needles, [spot(name) for name in worths], list(worths.values()))


def alike(needles: str, spots: Sequence[Spot], worths: Sequence[float]) -> Group:
    similarity = np.zeros((len(needles), len(spots)))
    return Group([NeedleId(n) for n in needles], similarity, spots, np.array(worths))


def dealt(
    groups: Sequence[Group],
    limits: Limits = WIDE,
    kept: Mapping[NeedleId, Sequence[Spot]] | None = None,
) -> dict[str, list[str]]:
    chosen = deal(groups, limits, kept or {})
    return {
        needle: [groups[number].spots[place].frame for number, place in places]
        for needle, places in chosen.items()
    }


def limits(
    budget: int = 100, size: int = 100, per_drive: int = 100, apart_s: float = 0, apart_m: float = 0
) -> Limits:
    return Limits(budget, size, per_drive, apart_s, apart_m)


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
    similarity = np.array([[0.1, 0.9, 0.9], [0.8, 0.2, 0.2]])
    ids = [NeedleId("m"), NeedleId("n")]
    one = Group(ids, similarity, [spot("a"), spot("b"), spot("c")], np.array([3.0, 2.0, 1.0]))
    assert dealt([one], limits(size=2)) == {"n": ["a", "b"], "m": ["c"]}


def test_of_two_open_shortlists_the_more_similar_needles_gets_the_frame() -> None:
    similarity = np.array([[0.9, 0.0, 0.1], [0.0, 0.9, 0.8]])
    ids = [NeedleId("m"), NeedleId("n")]
    one = Group(ids, similarity, [spot("b"), spot("c"), spot("d")], np.array([3.0, 2.0, 1.0]))
    kept = {ids[0]: [spot("a")], ids[1]: [spot("e")]}
    assert dealt([one], WIDE, kept) == {"m": ["b"], "n": ["c", "d"]}


def test_two_regions_of_one_frame_are_one_frame() -> None:
    assert dealt([alike("n", [spot("a"), spot("a"), spot("b")], [3, 2, 1])]) == {"n": ["a", "b"]}


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
