"""Failures of two detector versions on the same frames, by family."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from services.contracts.events import Annotation, Detection, ErrorType, FrameAnnotated
from services.contracts.identity import (
    Box,
    Category,
    FamilyId,
    FrameId,
    NeedleId,
    RegionId,
    needle_id,
)
from services.contracts.matches import CategoryMatched
from services.domain.detection.operating_scores import OperatingScores
from services.domain.failure_modes import FailureMode
from services.domain.metrics.changes import Change
from services.domain.metrics.failure_changes import (
    FailureChange,
    FailureGroup,
    failure_changes,
    failures_of,
    grouped_failures,
)
from services.domain.metrics.failure_worth import CategoryDetections
from tests.samples import predictions_made
from tests.unit.domain.oracle import Frame, coco_eval, matched, random_frames, twelve

SIGN = Category("sign")
OBJECT: Box = (10.0, 10.0, 40.0, 40.0)
GHOST: Box = (200.0, 200.0, 40.0, 40.0)
NEAR: Box = (205.0, 200.0, 40.0, 40.0)
ELSEWHERE: Box = (400.0, 0.0, 40.0, 40.0)
BACKGROUND = FailureGroup(SIGN, FailureMode(ErrorType.BACKGROUND))
MISSED = FailureGroup(SIGN, FailureMode(ErrorType.MISSED))
NO_FAMILIES: Mapping[NeedleId, FamilyId] = {}
Drawn = Sequence[Sequence[Box]]


def version(boxes: Drawn, number: str = "1", score: float = 0.9) -> list[CategoryMatched]:
    """A version's matches: of each frame, its boxes; each frame has one object."""
    return [
        match
        for k, found in enumerate(boxes)
        for match in matched(
            Frame(
                predictions_made(
                    *(Detection(category=SIGN, score=score, bbox=box) for box in found),
                    frame_id=f"f{k}",
                    version=number,
                ),
                FrameAnnotated(
                    frame_id=FrameId(f"f{k}"),
                    annotations=(Annotation(category=SIGN, bbox=OBJECT),),
                ),
            )
        )
    ]


def changes(
    old: Sequence[CategoryMatched],
    new: Sequence[CategoryMatched],
    families: Mapping[NeedleId, FamilyId] = NO_FAMILIES,
) -> dict[FailureGroup, FailureChange]:
    sides = [failures_of(matches, OperatingScores(0.5), families) for matches in (old, new)]
    return {change.group: change for change in failure_changes(grouped_failures(*sides))}


def needles(matches: Sequence[CategoryMatched]) -> list[NeedleId]:
    return [
        needle_id(region)
        for match in matches
        for region, error in zip(match.regions, match.errors, strict=True)
        if error is not None
    ]


def test_a_group_without_failures_left_is_fixed_and_one_without_failures_before_broken() -> None:
    old = version([[OBJECT, GHOST]] * 7)
    new = version([[]] * 7, "2")

    found = changes(old, new)

    fixed, broken = found[BACKGROUND], found[MISSED]
    assert (fixed.change, fixed.old, fixed.new) == (Change.FIXED, 7, 0)
    assert (broken.change, broken.old, broken.new) == (Change.BROKEN, 0, 7)
    assert fixed.improved == broken.worsened == tuple(f"f{k}" for k in range(7))
    assert fixed.p_value == 2 / 2**7
    assert fixed.improved_share is not None
    assert fixed.improved_share.low < 1 == fixed.improved_share.value


def test_some_failures_left_are_better_and_some_more_are_worse() -> None:
    few, many = version([[OBJECT, GHOST]] * 2 + [[OBJECT]] * 9), version([[OBJECT, GHOST]] * 11)
    assert changes(many, few)[BACKGROUND].change is Change.BETTER
    assert changes(few, many)[BACKGROUND].change is Change.WORSE


def test_changes_on_few_frames_or_in_both_directions_are_no_change() -> None:
    few = changes(version([[GHOST]] * 5), version([[]] * 5))[BACKGROUND]
    assert (few.change, few.p_value, few.old, few.new) == (Change.SAME, None, 5, 0)
    both = changes(version([[GHOST], []] * 4), version([[], [GHOST]] * 4))[BACKGROUND]
    assert (both.change, both.p_value) == (Change.SAME, 1.0)
    assert (len(both.improved), len(both.worsened)) == (4, 4)


def test_more_tested_groups_ask_for_more_frames_and_untested_ones_do_not() -> None:
    old = version([[OBJECT, GHOST]] * 6)
    alone = changes(old, version([[OBJECT]] * 6))
    beside_untested = changes(old, version([[OBJECT]] * 3 + [[]] * 3))
    beside_tested = changes(old, version([[]] * 6))
    assert alone[BACKGROUND].change is beside_untested[BACKGROUND].change is Change.FIXED
    assert beside_tested[BACKGROUND].change is Change.SAME


def test_detections_below_the_operating_score_are_no_failures_and_find_nothing() -> None:
    old, new = version([[OBJECT, GHOST]] * 6), version([[OBJECT, GHOST]] * 6, score=0.4)
    found = changes(old, new)
    assert found[BACKGROUND].new == 0
    assert found[MISSED].new == 6


def test_a_failure_at_the_same_place_stays_in_its_family_and_brings_the_rest_of_its_own() -> None:
    old = version([[OBJECT, GHOST]] * 6 + [[OBJECT]] * 6)
    new = version([[OBJECT, NEAR]] * 6 + [[OBJECT, ELSEWHERE]] * 6, "2")
    a, b = FamilyId("a"), FamilyId("b")
    families = dict.fromkeys(needles(old), a) | dict.fromkeys(needles(new), b)

    (change,) = changes(old, new, families).values()

    assert change.group == BACKGROUND._replace(family=a)
    assert (change.old, change.new, change.change) == (6, 12, Change.WORSE)
    assert change.worsened == ("f10", "f11", "f6", "f7", "f8", "f9")


def test_a_family_without_a_counterpart_is_its_own() -> None:
    old, new = version([[OBJECT, GHOST]] * 7), version([[OBJECT, ELSEWHERE]] * 7, "2")
    a, b = FamilyId("a"), FamilyId("b")
    families = dict.fromkeys(needles(old), a) | dict.fromkeys(needles(new), b)
    found = {group.family: change.change for group, change in changes(old, new, families).items()}
    assert found == {a: Change.FIXED, b: Change.BROKEN}


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_matches_does_not_matter_and_equal_versions_do_not_differ(seed: int) -> None:
    rng = random.Random(seed)
    old = [m for frame in random_frames(seed, 20) for m in matched(frame)]
    new = [m for frame in random_frames(seed + 1, 20) for m in matched(frame)]
    families = {needle: FamilyId(rng.choice("abc")) for needle in needles([*old, *new])}
    expected = changes(old, new, families)
    for some in (old, new):
        rng.shuffle(some)
    assert changes(old, new, families) == expected
    alike = changes(old, [replace(match) for match in old], families).values()
    assert all(change.improved == change.worsened == () for change in alike)


@pytest.mark.parametrize("seed", range(5))
def test_the_gain_without_some_false_positives_is_pycocotools_own(seed: int) -> None:
    frames = random_frames(seed, 15)
    matches = [m for frame in frames for m in matched(frame) if m.category == SIGN]
    wrong = [
        region
        for match in matches
        for region, hit, out in zip(match.regions, match.matched, match.ignored, strict=True)
        if not (hit | out) & 0x3FF  # at every IoU threshold, over all areas
    ]
    gone = set(random.Random(seed).sample(wrong, len(wrong) // 2))
    gain = CategoryDetections.of(matches).gain_without(gone)
    before, after = (
        _ap_of_signs(frames_of) for frames_of in (frames, [_without(f, gone) for f in frames])
    )
    assert gone
    assert gain == pytest.approx(after - before, abs=1e-9)


def _without(frame: Frame, gone: set[RegionId]) -> Frame:
    made = frame.predictions
    regions = zip(made.detections, made.region_ids(), strict=True)
    left = tuple(detection for detection, region in regions if region not in gone)
    return replace(frame, predictions=made.model_copy(update={"detections": left}))


def _ap_of_signs(frames: Sequence[Frame]) -> float:
    only = [
        Frame(
            frame.predictions.model_copy(
                update={
                    "detections": tuple(
                        d for d in frame.predictions.detections if d.category == SIGN
                    )
                }
            ),
            frame.truth.model_copy(
                update={
                    "annotations": tuple(a for a in frame.truth.annotations if a.category == SIGN)
                }
            ),
        )
        for frame in frames
    ]
    return twelve(coco_eval(only))["AP"] or 0.0


def test_nothing_is_gained_without_ground_truth_or_without_detections_to_remove() -> None:
    assert CategoryDetections.of(()).gain_without({"x"}) == 0  # type: ignore[arg-type]  # any id
    assert CategoryDetections.of(version([[OBJECT]])).gain_without(set()) == 0
