"""The form in which boxes are drawn, moved and named."""

import pytest

from services.annotation.review.box_rows import BoxRow, annotations_from, rows_of
from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Rle
from services.contracts.identity import Category, FrameId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.ports.frames import FrameRecord
from tests.samples import DETECTOR, annotation, detection, predictions_made

IMAGE = (100, 80)
MASKED = Annotation(
    category=Category("stop sign"),
    bbox=(10.04, 10, 20, 20),
    area=300,
    crowd=True,
    mask=Rle(size=(2, 2), counts="211"),
)


def row(key: str, box: str, category: str = "yield", *, kept: bool = True) -> BoxRow:
    return BoxRow(key, kept, category, box)


def test_annotations_are_kept_and_predictions_offered_best_first() -> None:
    made = predictions_made(detection(score=0.6), detection(score=0.9), detection(score=0.1))
    record = FrameRecord(FrameId("f1"), predictions={DETECTOR: made})

    rows = rows_of([annotation()], record, OperatingScores(0.5))

    assert [(item.kept, item.score) for item in rows[:3]] == [
        (True, None),
        (False, 0.9),
        (False, 0.6),
    ]
    assert [item.box for item in rows[3:]] == ["", "", ""]


def test_a_box_that_is_sent_as_it_was_shown_changes_nothing() -> None:
    (shown, *_) = rows_of([MASKED], FrameRecord(FrameId("f1")), OperatingScores(0.5))

    assert annotations_from([shown], [MASKED], IMAGE) == (MASKED,)


def test_a_new_category_keeps_the_mask_and_a_new_box_loses_it() -> None:
    named = row("a0", "10.0, 10.0, 20.0, 20.0")
    moved = row("a0", "11, 10, 20, 20")

    assert annotations_from([named], [MASKED], IMAGE) == (
        MASKED.model_copy(update={"category": "yield"}),
    )
    (found,) = annotations_from([moved], [MASKED], IMAGE)
    assert (found.bbox, found.mask, found.area, found.crowd) == ((11, 10, 20, 20), None, None, True)


def test_rows_that_are_not_kept_are_gone_and_new_ones_lie_inside_the_image() -> None:
    rows = [row("a0", "1, 1, 5, 5", kept=False), row("n1", "-5, 70, 15, 40"), row("e0", "", "")]

    (found,) = annotations_from([*rows[:2], row("e0", "", kept=False)], [MASKED], IMAGE)

    assert found == Annotation(category=Category("yield"), bbox=(0, 70, 10, 10))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (row("n1", "1, 1, 5, 5", ""), "no_category"),
        (row("n1", "1, 1, 5, 5", "a\nb"), "no_category"),
        (row("n1", "1, 1, 5"), "bad_box"),
        (row("n1", "1, 1, nan, 5"), "bad_box"),
        (row("n1", "200, 1, 5, 5"), "bad_box"),
        (row("n1", "1, 1, -5, 5"), "bad_box"),
        (row("n1", "1, 1, 0.2, 5"), "bad_box"),
    ],
)
def test_rows_that_are_no_annotation_are_refused(given: BoxRow, reason: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        annotations_from([given], [], IMAGE)

    assert refused.value.reason == reason
