import pytest

from services.annotation.review.edits import Edit, edited, possible_edits
from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Box, Category

REGION: Box = (10.0, 10.0, 20.0, 20.0)
STOP, YIELD = Category("stop sign"), Category("yield")
HERE = Annotation(category=STOP, bbox=(11.0, 10.0, 20.0, 20.0))
OTHER_HERE = Annotation(category=YIELD, bbox=(10.0, 11.0, 20.0, 20.0))
ELSEWHERE = Annotation(category=STOP, bbox=(100.0, 100.0, 20.0, 20.0))


def test_no_object_removes_only_its_own_category_and_only_here() -> None:
    kept = edited([HERE, OTHER_HERE, ELSEWHERE], REGION, Edit.NO_OBJECT, STOP)

    assert kept == (OTHER_HERE, ELSEWHERE)


def test_no_object_where_none_is_annotated_is_no_correction() -> None:
    with pytest.raises(InvalidRecord, match="already has no stop sign here"):
        edited([ELSEWHERE, OTHER_HERE], REGION, Edit.NO_OBJECT, STOP)


@pytest.mark.parametrize(
    ("annotations", "possible"),
    [
        ([HERE], {Edit.NO_OBJECT, Edit.MISSING_LABEL, Edit.WRONG_CATEGORY}),
        ([OTHER_HERE], {Edit.MISSING_LABEL, Edit.WRONG_CATEGORY}),
        ([ELSEWHERE], {Edit.MISSING_LABEL}),
        ([], {Edit.MISSING_LABEL}),
    ],
)
def test_only_corrections_that_change_something_are_possible(
    annotations: list[Annotation], possible: set[Edit]
) -> None:
    assert possible_edits(annotations, REGION, STOP) == possible


def test_a_missing_label_is_added_with_the_regions_own_box() -> None:
    added = edited([OTHER_HERE], REGION, Edit.MISSING_LABEL, STOP)

    assert added == (OTHER_HERE, Annotation(category=STOP, bbox=REGION))


def test_a_label_that_is_there_is_not_added_twice() -> None:
    with pytest.raises(InvalidRecord, match="already"):
        edited([HERE], REGION, Edit.MISSING_LABEL, STOP)


def test_the_nearest_annotation_is_renamed_and_keeps_its_box_and_place() -> None:
    renamed = edited([ELSEWHERE, HERE], REGION, Edit.WRONG_CATEGORY, YIELD)

    assert renamed == (ELSEWHERE, HERE.model_copy(update={"category": YIELD}))


@pytest.mark.parametrize("annotations", [[], [ELSEWHERE]])
def test_nothing_is_renamed_where_nothing_is_annotated(annotations: list[Annotation]) -> None:
    with pytest.raises(InvalidRecord, match="no annotation here"):
        edited(annotations, REGION, Edit.WRONG_CATEGORY, YIELD)
