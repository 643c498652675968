import numpy as np
import pytest

from services.contracts.events import ErrorType
from services.contracts.identity import FamilyId, FrameId, RegionId, VehicleId
from services.domain.mining.detector_category import (
    CategoryModel,
    Haystack,
    ModeQuery,
    frame_worths,
    offers,
)
from services.domain.mining.failure_model import Examples, FailureMode, FailureModel
from services.domain.shortlists.scored_candidates import CaptureContext
from services.domain.shortlists.strategies import CategoryStats, worst_frames

BACKGROUND = FailureMode(ErrorType.BACKGROUND)
AXES = np.eye(2, dtype=np.float32)
NO_EXAMPLES = Examples(np.empty((0, 2), np.float32), np.empty((0, 1)), [])
KIND = CategoryModel(
    FailureModel(NO_EXAMPLES), CategoryStats(np.empty(0), np.empty((0, 1), np.bool_), 2)
)
FAMILY = FamilyId("f")
NEEDLES = {BACKGROUND: ModeQuery(AXES[:1], [FAMILY], {})}


def haystack(*frames: str) -> Haystack:
    """Every region lies along the first axis, as the needle does."""
    count = len(frames)
    regions = [RegionId(f"{place}") for place in range(count)]
    spots = [CaptureContext(FrameId(frame), None, 0.0, None, VehicleId("v")) for frame in frames]
    vectors, scores = AXES[[0] * count], np.full(count, 0.9)
    return Haystack(regions, vectors, np.zeros((count, 1)), scores, spots)


def test_a_frame_is_worth_the_sum_of_its_regions() -> None:
    worths = frame_worths(KIND, haystack("a", "b", "b"), worst_frames)
    assert worths[FrameId("b")] == pytest.approx(2 * worths[FrameId("a")])


def test_a_region_is_offered_for_its_frames_worth_times_the_evidence() -> None:
    worths = {FrameId("a"): 3.0, FrameId("b"): 5.0}
    found = offers(KIND, haystack("a", "b"), NEEDLES, worths, 0.0)
    by_frame = {each.spot.frame: each for each in found[BACKGROUND]}
    assert {frame: each.worth for frame, each in by_frame.items()} == pytest.approx(
        {frame: worths[frame] * each.evidence for frame, each in by_frame.items()}
    )


def test_a_region_is_of_the_family_of_the_needle_that_it_resembles_most() -> None:
    families = [FamilyId("first"), FamilyId("second")]
    asked = ModeQuery(AXES, families, {})
    assert asked.families_of(AXES[[1, 0, 1]]) == ["second", "first", "second"]
    (each,) = offers(KIND, haystack("a"), {BACKGROUND: asked}, {FrameId("a"): 1.0}, 0.0)[BACKGROUND]
    assert each.family == "first"


def test_what_a_family_yielded_so_far_scales_what_its_regions_are_worth() -> None:
    plain, judged = (
        offers(KIND, haystack("a"), {BACKGROUND: asked}, {FrameId("a"): 1.0}, 0.0)[BACKGROUND][0]
        for asked in (NEEDLES[BACKGROUND], ModeQuery(AXES[:1], [FAMILY], {FAMILY: 0.25}))
    )
    assert judged.worth == pytest.approx(plain.worth / 4)
    assert judged.evidence == plain.evidence


def test_what_has_too_little_evidence_is_not_offered() -> None:
    assert offers(KIND, haystack("a"), NEEDLES, {FrameId("a"): 1.0}, 1.01) == {BACKGROUND: []}


def test_where_there_is_no_haystack_nothing_is_offered() -> None:
    assert frame_worths(KIND, haystack(), worst_frames) == {}
    assert offers(KIND, haystack(), NEEDLES, {}, 0.0) == {}
