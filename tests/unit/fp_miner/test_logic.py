from dataclasses import replace
from typing import Any

import pytest

from services.contracts.events import ErrorType, Rle, Split
from services.contracts.identity import Category, FrameId, NeedleId
from services.contracts.matches import CategoryMatch, FrameMatched
from services.contracts.needles import NeedleFound, NeedleRetracted
from services.domain.detection.operating_scores import OperatingScores
from services.domain.ports.frames import FrameRecord
from services.domain.ports.shortlists import Membership
from services.domain.splits import SplitRule
from services.fp_miner import logic
from services.fp_miner.logic import NeedleRule
from tests import samples

OPERATING = OperatingScores(0.5)
FALSE_POSITIVES = NeedleRule(OPERATING)
SPLIT = SplitRule(0.5)
HAYSTACK_DRIVE, REFERENCE_DRIVE = "d1", "d7"


def record(**parts: object) -> FrameRecord:
    predicted = samples.predictions_made(samples.detection())
    known: dict[str, object] = {
        "captured": samples.frame_captured(drive_id=REFERENCE_DRIVE),
        "ground_truth": samples.frame_annotated(),
        "predictions": {predicted.detector_id: predicted},
    }
    return FrameRecord(FrameId("f1"), **{**known, **parts})  # type: ignore[arg-type]  # parts vary


def matches_of(frame: FrameRecord, **context: object) -> list[FrameMatched]:
    membership, known = context.get("membership"), context.get("known", ())
    memberships = {(frame.frame_id, samples.DETECTOR): membership} if membership else {}
    complete = logic.complete_frames(
        [frame],
        memberships,  # type: ignore[arg-type]
        count_copies=bool(context.get("count_copies")),
    )
    matches = logic.matches_of(complete, SPLIT, OPERATING)
    matches = [logic.with_vanished(match, known) for match in matches]  # type: ignore[arg-type]
    return [match for match in matches if match.groups.categories]


def columns(match: FrameMatched) -> CategoryMatch:
    (rows,) = match.groups.by_category().values()
    return rows


def known_to_be(needle: NeedleFound) -> dict[Category, frozenset[NeedleId]]:
    return {needle.category: frozenset({needle.needle_id})}


def test_the_drives_of_these_tests_are_on_either_side() -> None:
    reference = record()
    haystack = record(captured=samples.frame_captured(drive_id=HAYSTACK_DRIVE))
    assert [match.split for match in matches_of(reference)] == [Split.REFERENCE]
    assert [match.split for match in matches_of(haystack)] == [Split.HAYSTACK]


def test_nothing_is_matched_until_image_predictions_and_ground_truth_are_known() -> None:
    for missing in ("captured", "ground_truth"):
        assert matches_of(record(**{missing: None})) == []
    assert matches_of(record(predictions={})) == []


def test_annotated_and_empty_makes_every_detection_a_false_positive() -> None:
    (match,) = matches_of(record())
    assert columns(match).errors == (ErrorType.BACKGROUND,)


def test_a_right_detection_is_no_needle() -> None:
    (match,) = matches_of(record(ground_truth=samples.frame_annotated(samples.annotation())))
    assert columns(match).errors == (None,)
    assert logic.needles_in(match, FALSE_POSITIVES) == []


def test_only_what_is_shown_on_the_map_is_a_needle() -> None:
    (match,) = matches_of(record())
    assert len(logic.needles_in(match, NeedleRule(OperatingScores(0.9)))) == 1
    assert logic.needles_in(match, NeedleRule(OperatingScores(0.91))) == []


def test_a_haystack_frame_has_no_needles() -> None:
    (match,) = matches_of(record(captured=samples.frame_captured(drive_id=HAYSTACK_DRIVE)))
    assert logic.needles_in(match, FALSE_POSITIVES) == []


def test_a_category_that_vanished_is_matched_with_nothing() -> None:
    gone = Category("crossing")
    (match,) = matches_of(record(), known=[gone])
    assert match.groups.by_category()[gone] == CategoryMatch()
    assert match.groups.sizes == (1, 0)


def test_predictions_that_say_so_are_matched_by_their_masks() -> None:
    box = (0.0, 0.0, 4.0, 4.0)
    upper, lower = (Rle(size=(4, 4), counts=counts) for counts in ("022000000", "22200000"))
    truth = samples.frame_annotated(samples.annotation(bbox=box).model_copy(update={"mask": upper}))
    found = samples.detection(bbox=box).model_copy(update={"mask": lower})
    by_boxes = samples.predictions_made(found)
    by_masks = by_boxes.model_copy(update={"iou_type": "segm"})
    kinds = []
    for predicted in (by_boxes, by_masks):
        (match,) = matches_of(
            record(ground_truth=truth, predictions={predicted.detector_id: predicted})
        )
        kinds.append((match.iou_type, columns(match).errors))
    assert kinds == [("bbox", (None,)), ("segm", (ErrorType.BACKGROUND,))]


def test_a_match_has_the_tags_of_its_frame() -> None:
    captured = samples.frame_captured(drive_id=REFERENCE_DRIVE)
    tagged = captured.model_copy(update={"tags": {"weather": "rain"}})
    tags = [
        match.tags for part in (captured, tagged) for match in matches_of(record(captured=part))
    ]
    assert tags == [{"vehicle": "v1"}, {"weather": "rain", "vehicle": "v1"}]


def test_every_change_of_a_part_raises_the_revision() -> None:
    (first,) = matches_of(record())
    (corrected,) = matches_of(record(ground_truth=samples.frame_annotated(revision=2)))
    (listed,) = matches_of(record(), membership=Membership(shortlisted=True, version=4))
    assert (first.revision, corrected.revision, listed.revision) == (2, 3, 6)


def test_a_shortlisted_haystack_frame_is_in_s() -> None:
    member = Membership(shortlisted=True, version=1)
    haystack = record(captured=samples.frame_captured(drive_id=HAYSTACK_DRIVE))
    assert [match.shortlisted for match in matches_of(haystack, membership=member)] == [True]
    assert [match.shortlisted for match in matches_of(record(), membership=member)] == [False]


@pytest.mark.parametrize("part", ["ground_truth", "predictions"])
def test_a_pair_of_which_something_was_refused_says_nothing_but_that_nothing_is_left(
    part: str,
) -> None:
    predicted = samples.predictions_made(samples.detection(), complete=False)
    partial: dict[str, object] = {
        "ground_truth": samples.frame_annotated(complete=False),
        "predictions": {predicted.detector_id: predicted},
    }
    frame = record(**{part: partial[part]})

    assert matches_of(frame) == []
    (match,) = matches_of(frame, known=[samples.STOP_SIGN])
    assert (columns(match), match.reannotated) == (CategoryMatch(), False)


def test_a_revision_of_which_something_was_refused_retracts_and_a_cured_one_brings_back() -> None:
    (sound,) = matches_of(record())
    (needle,) = logic.needles_in(sound, FALSE_POSITIVES)
    known = [samples.STOP_SIGN]

    (partial,) = matches_of(
        record(ground_truth=samples.frame_annotated(revision=2, complete=False)), known=known
    )
    (retracted,) = logic.needle_events(known_to_be(needle), partial, FALSE_POSITIVES)
    (cured,) = matches_of(record(ground_truth=samples.frame_annotated(revision=3)), known=known)
    (found,) = logic.needle_events(known_to_be(needle), cured, FALSE_POSITIVES)

    assert isinstance(retracted, NeedleRetracted)
    assert isinstance(found, NeedleFound)
    assert found.needle_id == retracted.needle_id == needle.needle_id
    assert needle.revision < retracted.revision < found.revision


def test_a_partial_part_of_one_detector_leaves_the_other_ones_match() -> None:
    sound = samples.predictions_made(samples.detection())
    partial = samples.predictions_made(samples.detection(), version="2", complete=False)
    both = {sound.detector_id: sound, partial.detector_id: partial}
    assert [match.detector for match in matches_of(record(predictions=both))] == ["ods@1"]


def test_a_copy_counts_only_where_the_setting_says_so() -> None:
    copy = record(original=FrameId("f0"))
    assert matches_of(copy) == []
    (gone,) = matches_of(copy, known=[samples.STOP_SIGN])
    assert columns(gone).regions == ()
    (counted,) = matches_of(copy, count_copies=True)
    assert len(columns(counted).regions) == 1
    assert matches_of(record(original=FrameId("f1"))) == matches_of(record())


def test_a_frame_that_turns_out_to_be_a_copy_overtakes_its_match() -> None:
    (before,) = matches_of(record())
    (after,) = matches_of(record(original=FrameId("f0")), known=[samples.STOP_SIGN])
    assert after.revision > before.revision


def test_a_known_needle_is_found_again_or_retracted_on_every_delivery() -> None:
    (match,) = matches_of(record())
    (needle,) = logic.needles_in(match, FALSE_POSITIVES)
    (cleared,) = matches_of(
        record(ground_truth=samples.frame_annotated(samples.annotation(), revision=2))
    )
    for _ in range(2):
        assert logic.needle_events(known_to_be(needle), match, FALSE_POSITIVES) == [needle]
        (retracted,) = logic.needle_events(known_to_be(needle), cleared, FALSE_POSITIVES)
        assert isinstance(retracted, NeedleRetracted)
        assert retracted.revision > needle.revision


def test_a_needle_names_the_category_that_was_mistaken() -> None:
    truth = samples.frame_annotated(samples.annotation("crossing"))
    mined = [
        needle
        for match in matches_of(record(ground_truth=truth))
        for needle in logic.needle_events({}, match, FALSE_POSITIVES)
    ]
    (needle,) = mined
    assert isinstance(needle, NeedleFound)
    assert needle.error_type is ErrorType.CLASSIFICATION
    assert needle.true_category == "crossing"


MISSES = NeedleRule(OPERATING, misses=True)


def missed_by(frame: FrameRecord, rule: NeedleRule = MISSES) -> list[NeedleFound]:
    (match,) = matches_of(frame)
    return [n for n in logic.needles_in(match, rule) if n.error_type is ErrorType.MISSED]


def annotated_and_found(*scores: float) -> FrameRecord:
    made = samples.predictions_made(*(samples.detection(score=score) for score in scores))
    truth = samples.frame_annotated(samples.annotation())
    return record(ground_truth=truth, predictions={made.detector_id: made})


def test_an_annotation_that_no_detection_found_is_a_needle() -> None:
    frame = annotated_and_found()
    (needle,) = missed_by(frame)
    assert frame.ground_truth is not None
    (annotation_id,) = frame.ground_truth.annotation_ids()
    assert (needle.category, needle.bbox, needle.score) == (samples.STOP_SIGN, samples.BOX, 0.0)
    assert needle.region_id == needle.annotation_id == annotation_id


@pytest.mark.parametrize(("score", "misses"), [(0.49, 1), (0.5, 0)])
def test_only_detections_at_the_operating_score_find_an_annotation(
    score: float, misses: int
) -> None:
    assert len(missed_by(annotated_and_found(score))) == misses


def test_misses_are_needles_only_where_the_setting_says_so() -> None:
    assert missed_by(annotated_and_found(), FALSE_POSITIVES) == []


def test_a_haystack_frame_has_no_misses() -> None:
    haystack = samples.frame_captured(drive_id=HAYSTACK_DRIVE)
    assert missed_by(replace(annotated_and_found(), captured=haystack)) == []


def test_two_detectors_that_miss_one_annotation_have_a_needle_each() -> None:
    versions = [samples.predictions_made(version=version) for version in ("1", "2")]
    truth = samples.frame_annotated(samples.annotation())
    frame = record(ground_truth=truth, predictions={made.detector_id: made for made in versions})
    needles = [n for match in matches_of(frame) for n in logic.needles_in(match, MISSES)]
    assert len({needle.needle_id for needle in needles}) == 2
    assert len({needle.region_id for needle in needles}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"ground_truth": samples.frame_annotated(revision=2)},
        {"predictions": {samples.DETECTOR: samples.predictions_made(samples.detection())}},
    ],
    ids=["annotation removed", "detection added"],
)
def test_a_miss_that_a_change_clears_is_retracted_on_every_delivery(
    change: dict[str, Any],
) -> None:
    (missed,) = missed_by(annotated_and_found())
    (cleared,) = matches_of(replace(annotated_and_found(), **change), known=[samples.STOP_SIGN])
    for _ in range(2):
        events = logic.needle_events(known_to_be(missed), cleared, MISSES)
        assert [(type(e), e.needle_id) for e in events] == [(NeedleRetracted, missed.needle_id)]
