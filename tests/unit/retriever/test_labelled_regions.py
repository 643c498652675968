"""What is known of the regions on annotated frames."""

import pytest

from services.contracts.events import ErrorType
from services.contracts.identity import FrameId, RegionId
from services.domain.failure_modes import FailureMode
from services.retriever.labelled_regions import LabelledRegions, errors_at, modes_of_regions

BACKGROUND = FailureMode.of(ErrorType.BACKGROUND, None)
LABELLED = LabelledRegions(
    frame_id=FrameId("f"),
    revision=1,
    reannotated=False,
    regions=tuple(map(RegionId, ("right", "wrong", "ignored", "faint"))),
    scores=(0.9, 0.5, 0.8, 0.2),
    matched=(1, 0, 0, 1),
    ignored=(0, 0, 1, 0),
    modes=(None, BACKGROUND, None, None),
    ground_truths=3,
)


@pytest.mark.parametrize(("score", "errors"), [(0.1, 2), (0.5, 3), (0.6, 2), (0.95, 3)])
def test_errors_are_false_positives_and_misses_from_the_score_on(score: float, errors: int) -> None:
    assert errors_at(LABELLED, score) == errors


def test_modes_are_of_regions_from_the_score_on() -> None:
    assert modes_of_regions([LABELLED], 0.5) == {"right": None, "wrong": BACKGROUND}
