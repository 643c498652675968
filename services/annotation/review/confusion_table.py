"""The confusion matrix as a table of limited size, each cell with the frames behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.annotation.review.stored_curves import StoredConfusion
from services.contracts.identity import Category
from services.domain.metrics.outcomes import Outcome

_MAX_CATEGORIES = 14
"""Categories of a table; beyond, those with the most errors. More do not fit a screen."""
_SHADES = 5


@dataclass(frozen=True)
class Cell:
    """One count; `outcome`, `category` and `true_category` select the frames behind it.

    Attributes
    ----------
    shade : 0 for an empty cell, else 1 to 5 by the cell's share of its row
    """

    count: int
    shade: int
    outcome: Outcome
    category: Category
    true_category: Category | None = None


@dataclass(frozen=True)
class ConfusionTable:
    """Rows are true categories, columns predicted ones; the last of both is the background.

    Attributes
    ----------
    rows : by row the cells; None where a cell has no meaning
    hidden : the number of categories that are left out
    """

    categories: Sequence[Category]
    rows: Sequence[Sequence[Cell | None]]
    hidden: int


def confusion_table(confusion: StoredConfusion, category: Category | None) -> ConfusionTable:
    """The table of the categories with the most errors.

    Parameters
    ----------
    category : if given, this category and those that are confused with it
    """
    shown = _shown(confusion, category)
    background = len(confusion.categories)
    rows = [
        _row(confusion, true, [*shown, background], background) for true in [*shown, background]
    ]
    names = [confusion.categories[k] for k in shown]
    return ConfusionTable(names, rows, background - len(shown))


def _shown(confusion: StoredConfusion, category: Category | None) -> list[int]:
    counts, places = confusion.counts, range(len(confusion.categories))
    if category is None:
        errors = [sum(counts[k]) + sum(row[k] for row in counts) - 2 * counts[k][k] for k in places]
        shown = sorted(places, key=lambda k: -errors[k])[:_MAX_CATEGORIES]
        return sorted(shown)
    index = confusion.categories.index(category)
    confused = [k for k in places if k != index and counts[index][k] + counts[k][index]]
    confused.sort(key=lambda k: -(counts[index][k] + counts[k][index]))
    return [index, *confused[: _MAX_CATEGORIES - 1]]


def _row(
    confusion: StoredConfusion, true: int, columns: Sequence[int], background: int
) -> list[Cell | None]:
    counts = confusion.counts[true]
    whole = sum(counts) or 1
    cells: list[Cell | None] = []
    for predicted in columns:
        if true == predicted == background:
            cells.append(None)  # neither an object nor a detection
            continue
        count = counts[predicted]
        shade = -(-count * _SHADES // whole)
        cells.append(Cell(count, shade, *_behind(confusion, true, predicted, background)))
    return cells


def _behind(
    confusion: StoredConfusion, true: int, predicted: int, background: int
) -> tuple[Outcome, Category, Category | None]:
    names = confusion.categories
    if predicted == background:
        return Outcome.MISSED, names[true], None
    if true == background:
        return Outcome.BACKGROUND, names[predicted], None
    if true == predicted:
        return Outcome.RIGHT, names[true], None
    return Outcome.CONFUSED, names[predicted], names[true]
