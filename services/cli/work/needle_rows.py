"""Print rows of needles: a table for people, or JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from services.annotation import needle_table
from services.annotation.ports.needle_filters import NeedleFilter, Sort
from services.annotation.ports.needle_lists import NeedleLists, NeedleRow
from services.cli.console import console, print_json

EVERY = 1_000_000
"""The limit of a list that is printed as JSON."""
_SHOWN = ("needle", "category", "error", "score", "candidates", "review", "family", "frame")
_NUMBERS = {"score", "candidates"}


@dataclass(frozen=True)
class NeedlePage:
    """The first rows of a list, and how many it has."""

    rows: Sequence[NeedleRow]
    total: int


async def read_needles(lists: NeedleLists, wanted: NeedleFilter, limit: int) -> NeedlePage:
    """The first needles by score, and the number of all.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    rows = await lists.page(wanted, Sort.SCORE, limit=limit)
    return NeedlePage(rows, await lists.count(wanted))


def print_needles(page: NeedlePage, none: str) -> None:
    """Print a table, and how many needles it leaves out.

    Parameters
    ----------
    none : what to print if there is none
    """
    out = console()
    if not page.rows:
        out.print(none, highlight=False)
        return
    table = Table(box=None, header_style="dim")
    for heading in _SHOWN:
        table.add_column(
            heading, justify="right" if heading in _NUMBERS else "left", overflow="fold"
        )
    for row in page.rows:
        table.add_row(*_texts(row))
    out.print(table)
    if page.total > len(page.rows):
        left = page.total - len(page.rows)
        out.print(f"{left:,} more: `--most`, or `--json` for all", highlight=False)


def print_needles_json(page: NeedlePage) -> None:
    """Print a list of objects with the columns of the page's CSV files."""
    rows = (needle_table.cells(row) for row in page.rows)
    print_json([dict(zip(needle_table.COLUMNS, row, strict=True)) for row in rows])


def _texts(row: NeedleRow) -> tuple[str, ...]:
    needle, review = row.needle, row.review
    really = f", is {needle.true_category}" if needle.true_category else ""
    decided = review.decided if review else 0
    return (
        needle.needle_id[:8],
        needle.category,
        f"{needle.error_type.value}{really}",
        f"{needle.score:.2f}",
        f"{row.candidates:,}",
        f"{decided} of {row.candidates} decided" if row.candidates else "no shortlist",
        (row.family or "")[:8],
        needle.frame_id,
    )
