"""AP of two detector versions on the same frames."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import pytest

from services.contracts.events import Detection, PredictionsMade
from services.contracts.identity import DetectorId, FrameId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.ap_changes import NOWHERE, ApChanges, ap_changes
from services.domain.metrics.changes import Change
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.slice_pairs import Tag
from services.domain.metrics.subsets import Subset
from tests.unit.domain import oracle
from tests.unit.domain.test_resampling import survey
from tests.unit.domain.test_slices import frame_of

OLD, NEW = DetectorId("d@1"), DetectorId("e@1")
RAIN: Tag = ("weather", "rain")
DRY: Tag = ("weather", "dry")
NO_TAGS: Mapping[Tag, Collection[FrameId]] = {}


def renamed(frame: oracle.Frame) -> oracle.Frame:
    return replace(frame, predictions=frame.predictions.model_copy(update={"detector": "e"}))


def changes(
    old: list[oracle.Frame],
    new: list[oracle.Frame],
    tagged: Mapping[Tag, Collection[FrameId]] = NO_TAGS,
) -> ApChanges:
    state = MatchState(OperatingScores(0.5))
    for frames in (old, new):
        state.add([match for frame in frames for match in oracle.matched(frame)])
    return ap_changes(state, (OLD, NEW), tagged, OperatingScores(0.5))


def test_equal_versions_are_the_same_everywhere() -> None:
    frames = survey(np.random.default_rng(1), 60)
    half = {frame.frame_id for frame in frames[:30]}
    found = changes(frames, [renamed(frame) for frame in frames], {RAIN: half})
    assert found.overall.difference is not None
    assert (found.overall.difference.low, found.overall.difference.high) == (0, 0)
    assert found.overall.p_value == 1
    every = [found.overall, *found.categories.values(), *(part.ap for part in found.slices)]
    assert {ap.change for ap in every} == {Change.SAME}
    assert len(found.slices) == 1


def test_a_version_that_places_boxes_better_is_better() -> None:
    rng = np.random.default_rng(2)
    old = survey(rng, 80, slip=14)
    new = [
        renamed(
            replace(
                frame,
                predictions=frame.predictions.model_copy(
                    update={
                        "detections": tuple(
                            found.model_copy(update={"bbox": annotation.bbox})
                            for found, annotation in zip(
                                frame.predictions.detections, frame.truth.annotations, strict=True
                            )
                        )
                    }
                ),
            )
        )
        for frame in old
    ]
    found = changes(old, new)
    assert found.overall.change is Change.BETTER
    assert {ap.change for ap in found.categories.values()} == {Change.BETTER}
    state = MatchState(OperatingScores(0.5))
    state.add([match for frame in [*old, *new] for match in oracle.matched(frame)])
    expected = state.snapshot().difference(NEW, OLD, Subset.ALL)
    assert found.overall.difference == expected


def test_a_slice_that_was_worse_than_the_others_and_no_longer_is_is_fixed() -> None:
    rng = np.random.default_rng(3)
    old, new = [], []
    rain: set[FrameId] = set()
    dry: set[FrameId] = set()
    for number in range(160):
        wet = number % 2 == 0
        hard, easy = (frame_of(rng, number, share) for share in (0.6, 0.1))
        easy = replace(easy, truth=hard.truth, predictions=_found_all(hard))
        old.append(hard if wet else easy)
        new.append(renamed(easy))
        (rain if wet else dry).add(hard.frame_id)
    parts = {part.tag: part.ap.change for part in changes(old, new, {RAIN: rain, DRY: dry}).slices}
    assert parts[RAIN] is Change.FIXED
    assert parts[DRY] is Change.SAME
    swapped = changes(
        [replace(f, predictions=f.predictions.model_copy(update={"detector": "d"})) for f in new],
        [renamed(frame) for frame in old],
        {RAIN: rain, DRY: dry},
    )
    assert {part.tag: part.ap.change for part in swapped.slices}[RAIN] is Change.BROKEN


def _found_all(frame: oracle.Frame) -> PredictionsMade:
    made = frame.predictions
    found = tuple(
        Detection(category=annotation.category, score=0.9, bbox=annotation.bbox)
        for annotation in frame.truth.annotations
    )
    return made.model_copy(update={"detections": found})


def test_a_category_on_few_frames_is_not_tested() -> None:
    frames = survey(np.random.default_rng(4), 6)
    found = changes(frames, [renamed(frame) for frame in frames])
    assert {ap.p_value for ap in found.categories.values()} == {None}


def test_without_a_match_of_both_there_is_nothing() -> None:
    assert changes(survey(np.random.default_rng(5), 6), []) is NOWHERE
    assert NOWHERE.overall.change is Change.SAME


@pytest.mark.parametrize(
    ("gain", "significant", "problem", "expected"),
    [
        (1, True, (True, False), Change.FIXED),
        (1, True, (True, True), Change.BETTER),
        (1, False, (True, False), Change.SAME),
        (0, True, (True, False), Change.SAME),
        (-1, True, (True, True), Change.WORSE),
        (-1, True, (False, True), Change.BROKEN),
    ],
)
def test_a_change_needs_significance(
    *, gain: float, significant: bool, problem: tuple[bool, bool], expected: Change
) -> None:
    assert Change.of(gain, significant=significant, problem=problem) is expected
