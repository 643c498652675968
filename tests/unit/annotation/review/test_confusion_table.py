"""The part of a confusion matrix that fits a screen."""

from services.annotation.review.confusion_table import Cell, confusion_table
from services.annotation.review.stored_curves import StoredConfusion
from services.contracts.identity import Category
from services.domain.metrics.outcomes import Outcome

NAMES = tuple(Category(f"c{k:02}") for k in range(20))
A, B, C = NAMES[:3]


def matrix(**cells: int) -> StoredConfusion:
    """A matrix of twenty categories; a cell is named `true_predicted`, 20 is the background."""
    counts = [[0] * 21 for _ in range(21)]
    for name, count in cells.items():
        true, predicted = name.removeprefix("c").split("_")
        counts[int(true)][int(predicted)] = count
    return StoredConfusion(categories=NAMES, counts=tuple(map(tuple, counts)))


def test_each_cell_knows_what_is_behind_it() -> None:
    drawn = confusion_table(matrix(c0_0=8, c0_1=1, c0_20=1, c20_0=3), A)

    assert drawn.categories == [A, B]
    own, _, background = drawn.rows
    assert own[0] == Cell(8, 4, Outcome.RIGHT, A)
    assert own[1] == Cell(1, 1, Outcome.CONFUSED, B, A)
    assert own[2] == Cell(1, 1, Outcome.MISSED, A)
    assert background[0] == Cell(3, 5, Outcome.BACKGROUND, A)
    assert background[-1] is None


def test_of_many_categories_those_with_the_most_errors_are_shown() -> None:
    drawn = confusion_table(matrix(c19_20=5, c2_3=4, c0_0=99), None)

    assert {NAMES[2], NAMES[3], NAMES[19]} < set(drawn.categories)
    assert drawn.categories == sorted(drawn.categories)
    assert (len(drawn.categories), drawn.hidden) == (14, 6)


def test_of_one_category_those_it_is_confused_with_are_shown_most_first() -> None:
    drawn = confusion_table(matrix(c0_2=1, c1_0=4, c3_4=9), A)

    assert drawn.categories == [A, B, C]
