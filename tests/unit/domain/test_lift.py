"""What shortlists are worth, where the right answer is known by hand."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.events import ErrorType, Split
from services.contracts.identity import Category, DriveId, FrameId, RegionId
from services.contracts.matches import CategoryMatched, categories_of
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.lift import Lift, LiftPool, Stratum
from services.domain.statistics.significance import wilson_interval
from tests import samples


def match(
    name: str, *regions: tuple[float, bool], drive: str = "d1", hour: int = 0
) -> CategoryMatched:
    """A frame with regions, each of a score and wrong or not; `name/0` is the first one's id."""
    count = len(regions)
    update = {
        "drive_id": DriveId(drive),
        "captured_at": samples.CAPTURED_AT + timedelta(hours=hour),
        "regions": tuple(RegionId(f"{name}/{place}") for place in range(count)),
        "bboxes": (samples.BOX,) * count,
        "scores": tuple(score for score, _ in regions),
        "errors": tuple(ErrorType.BACKGROUND if wrong else None for _, wrong in regions),
        "true_categories": (None,) * count,
        "split": Split.HAYSTACK,
    }
    (template,) = categories_of([samples.frame_matched(name)])
    return replace(template, frame_id=FrameId(name), **update)  # type: ignore[arg-type]


def lift(matches: list[CategoryMatched], *listed: str) -> Lift | None:
    of = {
        region: Stratum.at(match_.category, match_.drive_id, match_.captured_at)
        for match_ in matches
        for region in match_.regions
        if region in listed
    }
    pool = LiftPool(OperatingScores(0.5))
    for match_ in matches:
        pool.put(match_)
    return pool.lift(of)


def test_the_draw_is_of_the_same_drive_and_hour() -> None:
    matches = [
        match("a", (0.9, True), (0.8, False)),
        match("other-drive", (0.9, True), drive="d2"),
        match("other-hour", (0.9, True), hour=1),
    ]

    value = lift(matches, "a/0")

    assert value is not None
    assert (value.found.value, value.random.value) == (1.0, 0.5)
    assert value.over_random is not None
    assert value.over_random.value == 2.0
    assert value.gain is not None
    assert value.gain.value == 1.0


def test_the_lowest_scores_are_as_many_as_are_listed() -> None:
    matches = [match("a", (0.9, True), (0.8, True), (0.6, False), (0.55, True), (0.4, True))]

    value = lift(matches, "a/0", "a/1")

    assert value is not None
    # .55 is wrong and .6 is right; .4 is not shown.
    assert value.lowest.value == 0.5
    assert value.over_lowest is not None
    assert value.over_lowest.value == 2.0
    assert value.random.value == 0.75


def test_the_highest_scores_are_as_many_as_are_listed() -> None:
    matches = [match("a", (0.9, True), (0.8, False), (0.6, True), (0.55, True))]

    value = lift(matches, "a/2", "a/3")

    assert value is not None
    assert value.highest.value == 0.5
    assert value.over_highest is not None
    assert value.over_highest.value == 2.0


def test_a_share_of_one_has_wilsons_interval_and_widens_the_lift() -> None:
    matches = [match(f"w{i}", (0.9, True)) for i in range(99)]
    matches += [match(f"r{i}", (0.9, False)) for i in range(400)]

    value = lift(matches, *(f"w{i}/0" for i in range(99)))

    assert value is not None
    assert value.found.value == 1.0
    assert (value.found.low, value.found.high) == pytest.approx(wilson_interval(1.0, 99))
    assert value.gain is not None
    assert value.gain.low == pytest.approx(0.97, abs=0.02)
    nothing = lift(matches, *(f"r{i}/0" for i in range(50)))
    assert nothing is not None
    assert (nothing.found.low, nothing.found.high) == pytest.approx(wilson_interval(0.0, 50))
    assert nothing.over_random is not None
    assert nothing.over_random.high > 0


def test_a_share_that_varies_by_rounding_alone_does_not_vary() -> None:
    # Under every weight of the only frame, 3/7 of a random draw are wrong.
    regions = [(0.9, place < 3) for place in range(7)]

    value = lift([match("a", *regions)], "a/0", "a/1", "a/2")

    assert value is not None
    assert value.over_random is not None
    assert value.over_random.low < value.over_random.value < value.over_random.high
    assert (value.random.low, value.random.high) == pytest.approx(wilson_interval(3 / 7, 1))


def test_a_share_is_as_uncertain_as_its_independent_regions() -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random(100) < 0.7
    matches = [match(f"f{i}", *((0.9, bool(wrong[i])) for _ in range(5))) for i in range(100)]

    value = lift(matches, *(f"f{i}/{k}" for i in range(100) for k in range(5)))

    assert value is not None
    width = value.found.high - value.found.low
    low, high = wilson_interval(float(wrong.mean()), 100)  # not 500
    assert width == pytest.approx(high - low, rel=0.15)


def test_strata_weigh_by_what_is_listed_there() -> None:
    matches = [
        match("a", (0.9, True), (0.8, False), (0.7, False), (0.6, False)),
        match("b", (0.9, True), (0.8, True), drive="d2"),
    ]

    value = lift(matches, "a/0", "b/0", "b/1")

    assert value is not None
    assert value.random.value == pytest.approx((0.25 + 1 + 1) / 3)
    assert (value.confirmed, value.rejected) == (3, 0)


def test_what_is_listed_but_not_annotated_or_not_shown_does_not_count() -> None:
    assert lift([match("a", (0.9, True))], "b/0") is None
    assert lift([match("a", (0.4, True), (0.9, False))], "a/0") is None


def test_a_lift_over_nothing_is_not_defined() -> None:
    value = lift([match("a", (0.9, False), (0.8, False))], "a/0")

    assert value is not None
    assert (value.over_random, value.over_lowest) == (None, None)
    assert value.gain is not None
    assert value.gain.value == 0


def test_shortlists_drawn_at_random_have_an_interval_around_no_lift() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        matches = [
            match(f"f{number}", *((0.9, bool(rng.random() < 0.4)) for _ in range(3)))
            for number in range(60)
        ]
        listed = [f"f{number}/0" for number in rng.permutation(60)[:20]]
        value = lift(matches, *listed)
        assert value is not None
        assert value.over_random is not None
        covered += value.over_random.low <= 1 <= value.over_random.high
    assert covered >= 34


def test_the_order_in_which_matches_are_read_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    matches = [
        match(f"f{i}", *((0.6, bool(rng.random() < 0.4)) for _ in range(3)), hour=i % 3)
        for i in range(30)
    ]
    listed = [f"f{i}/1" for i in range(12)]

    assert lift(matches, *listed) == lift(matches[::-1], *listed)


REGIONS = st.lists(st.tuples(st.sampled_from([0.4, 0.6, 0.9]), st.booleans()), max_size=3)
CHANGES = st.tuples(
    st.sampled_from("abc"), st.sampled_from(["sign", "light"]), st.sampled_from(Split), REGIONS
)


@settings(max_examples=25)
@given(st.lists(CHANGES, min_size=10, max_size=30))
def test_after_changes_the_pool_is_one_of_the_last_matches(
    changes: list[tuple[str, str, Split, list[tuple[float, bool]]]],
) -> None:
    pool, rebuilt, last = LiftPool(OperatingScores(0.5)), LiftPool(OperatingScores(0.5)), {}
    for frame, category, split, regions in changes:
        place = {"frame_id": FrameId(frame), "category": Category(category), "split": split}
        last[frame, category] = replace(match(f"{frame}/{category}", *regions), **place)  # type: ignore[arg-type]
        pool.put(last[frame, category])
    for _, match_ in sorted(last.items()):
        rebuilt.put(match_)

    strata = {
        region: Stratum.at(match_.category, match_.drive_id, match_.captured_at)
        for match_ in last.values()
        for region in match_.regions
    }
    assert pool.modes(strata) == rebuilt.modes(strata)
    listed = {region: strata[region] for region in strata if region.endswith("0")}
    # Bounds that are not a number differ from themselves.
    assert repr(pool.lift(listed)) == repr(rebuilt.lift(listed))
