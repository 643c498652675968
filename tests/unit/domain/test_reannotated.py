"""Which ground truth counts as reannotated."""

import pytest

from services.contracts.events import REANNOTATION_SOURCE
from services.domain.reannotation import is_reannotated
from tests.samples import frame_annotated


@pytest.mark.parametrize(
    ("source", "complete", "expected"),
    [
        (REANNOTATION_SOURCE, True, True),
        (REANNOTATION_SOURCE, False, False),
        ("import", True, False),
    ],
)
def test_ground_truth_of_the_annotation_team_counts_if_it_is_complete(
    source: str, complete: bool, expected: bool
) -> None:
    truth = frame_annotated(complete=complete)

    assert is_reannotated(truth.model_copy(update={"annotation_source": source})) is expected


def test_a_frame_without_ground_truth_is_not_reannotated() -> None:
    assert not is_reannotated(None)
