import numpy as np
import pytest

from services.contracts.events import ErrorType
from services.contracts.identity import FamilyId, FrameId, RegionId, VehicleId
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Examples, FailureModel
from services.domain.shortlists.candidate_scoring import (
    CategoryModel,
    Haystack,
    ModeQuery,
    frame_worths,
    scored_candidates,
)
from services.domain.shortlists.scored_candidates import CaptureContext
from services.domain.shortlists.strategies import CategoryStats, worst_frames

BACKGROUND = FailureMode(ErrorType.BACKGROUND)
AXES = np.eye(2, dtype=np.float32)
NO_EXAMPLES = Examples(np.empty((0, 2), np.float32), np.empty((0, 1)), [])
CATEGORY_MODEL = CategoryModel(
    FailureModel.fit(NO_EXAMPLES), CategoryStats(np.empty(0), np.empty((0, 1), np.bool_), 2)
)
FAMILY = FamilyId("f")
NEEDLES = {BACKGROUND: ModeQuery(AXES[:1], [FAMILY])}


def haystack(*frames: str) -> Haystack:
    """Every region lies along the first axis, as the needle does."""
    count = len(frames)
    regions = [RegionId(f"{place}") for place in range(count)]
    contexts = [CaptureContext(FrameId(frame), None, 0.0, None, VehicleId("v")) for frame in frames]
    vectors, scores = AXES[[0] * count], np.full(count, 0.9)
    return Haystack(regions, vectors, np.zeros((count, 1)), scores, contexts)


def test_a_frame_is_worth_the_sum_of_its_regions() -> None:
    worths = frame_worths(CATEGORY_MODEL, haystack("a", "b", "b"), worst_frames)
    assert worths[FrameId("b")] == pytest.approx(2 * worths[FrameId("a")])


def test_a_candidates_worth_is_its_frames_worth_times_the_evidence() -> None:
    worths = {FrameId("a"): 3.0, FrameId("b"): 5.0}
    found = scored_candidates(CATEGORY_MODEL, haystack("a", "b"), NEEDLES, worths, 0.0)
    by_frame = {candidate.context.frame: candidate for candidate in found[BACKGROUND]}
    assert {frame: candidate.worth for frame, candidate in by_frame.items()} == pytest.approx(
        {frame: worths[frame] * candidate.evidence for frame, candidate in by_frame.items()}
    )


def test_a_region_is_of_the_family_of_the_needle_that_it_resembles_most() -> None:
    families = [FamilyId("first"), FamilyId("second")]
    query = ModeQuery(AXES, families)
    assert query.families_of(AXES[[1, 0, 1]]) == ["second", "first", "second"]
    (candidate,) = scored_candidates(
        CATEGORY_MODEL, haystack("a"), {BACKGROUND: query}, {FrameId("a"): 1.0}, 0.0
    )[BACKGROUND]
    assert candidate.family == "first"


def test_what_has_too_little_evidence_is_not_offered() -> None:
    assert scored_candidates(CATEGORY_MODEL, haystack("a"), NEEDLES, {FrameId("a"): 1.0}, 1.01) == {
        BACKGROUND: []
    }


def test_where_there_is_no_haystack_nothing_is_offered() -> None:
    assert frame_worths(CATEGORY_MODEL, haystack(), worst_frames) == {}
    assert scored_candidates(CATEGORY_MODEL, haystack(), NEEDLES, {}, 0.0) == {}
