import numpy as np
import pytest

from services.contracts.events import ErrorType
from services.contracts.identity import FrameId, NeedleId
from services.domain.failure_model import Examples, FailureModel, Mode
from services.domain.kind import Haystack, Kind, ask
from services.domain.shortlist_plan import Spot
from services.domain.strategies import Standing, worst_frames

BACKGROUND = Mode(ErrorType.BACKGROUND)
AXES = np.eye(2, dtype=np.float32)
NO_EXAMPLES = Examples(np.empty((0, 2), np.float32), np.empty((0, 1)), [])


def kind(*frames: str) -> Kind:
    """One needle along the first axis; every region lies there too."""
    count = len(frames)
    spots = [Spot(FrameId(frame), None, 0.0, None) for frame in frames]
    haystack = Haystack(AXES[[0] * count], np.zeros((count, 1)), np.full(count, 0.9), spots)
    standing = Standing(np.empty(0), np.empty((0, 1), np.bool_), 2)
    needles = {BACKGROUND: [NeedleId("n")]}
    return Kind(FailureModel(NO_EXAMPLES), standing, needles, {BACKGROUND: AXES[:1]}, haystack)


def test_a_frame_is_worth_the_sum_of_its_regions_of_all_kinds() -> None:
    first, second = ask([kind("a", "b", "b"), kind("a", "c")], worst_frames, 0.0)
    a, b, b_again = first.group.worth
    a_too, c = second.group.worth
    assert (a, b) == pytest.approx((2 * c, 2 * c))
    assert (a_too, b_again) == pytest.approx((a, b))


def test_what_has_too_little_evidence_is_not_asked_for() -> None:
    (asked,) = ask([kind("a")], worst_frames, 1.01)
    assert asked.evidence[0] > 0
    assert asked.group.worth[0] == 0


def test_a_kind_without_haystack_asks_for_nothing() -> None:
    assert ask([kind()], worst_frames, 0.0) == []
