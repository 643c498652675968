import numpy as np
import pytest

from services.contracts.events import ErrorType
from services.contracts.identity import FrameId, RegionId
from services.domain.failure_model import Examples, FailureModel, Mode
from services.domain.kind import Haystack, Kind, frame_worths, offers
from services.domain.shortlist_plan import Spot
from services.domain.strategies import Standing, worst_frames

BACKGROUND = Mode(ErrorType.BACKGROUND)
AXES = np.eye(2, dtype=np.float32)
NO_EXAMPLES = Examples(np.empty((0, 2), np.float32), np.empty((0, 1)), [])
KIND = Kind(FailureModel(NO_EXAMPLES), Standing(np.empty(0), np.empty((0, 1), np.bool_), 2))
NEEDLES = {BACKGROUND: AXES[:1]}


def haystack(*frames: str) -> Haystack:
    """Every region lies along the first axis, as the needle does."""
    count = len(frames)
    regions = [RegionId(f"{place}") for place in range(count)]
    spots = [Spot(FrameId(frame), None, 0.0, None) for frame in frames]
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


def test_what_has_too_little_evidence_is_not_offered() -> None:
    assert offers(KIND, haystack("a"), NEEDLES, {FrameId("a"): 1.0}, 1.01) == {BACKGROUND: []}


def test_where_there_is_no_haystack_nothing_is_offered() -> None:
    assert frame_worths(KIND, haystack(), worst_frames) == {}
    assert offers(KIND, haystack(), NEEDLES, {}, 0.0) == {}
