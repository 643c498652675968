"""What `gazeloop label-errors` does."""

import csv
import sys
from collections.abc import Sequence
from typing import Final

import typer
from rich.table import Table

from services.cli.console import console, print_json
from services.cli.context import Context, run, shared
from services.cli.work.opened import opened
from services.contracts.events import Split
from services.domain.mining.label_error import LabelError
from services.domain.mining.suspected_labels import SuspectedLabel
from services.evaluator.reports.label_errors import read_label_errors
from services.formats.csv_cells import cell_of

_COLUMNS: Final = ("kind", "suspicion", "frame_id", "annotated_as", "category", "bbox")


def label_errors(
    ctx: typer.Context,
    *,
    kind: LabelError | None,
    haystack: bool,
    most: int,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Run `gazeloop label-errors`."""
    if as_json and as_csv:
        raise typer.BadParameter("choose --json or --csv")
    context = shared(ctx)
    split = None if haystack else Split.REFERENCE
    suspects = run(lambda: _read(context, split), interrupted="Nothing was changed.")
    kinds = [kind] if kind is not None else list(LabelError)
    found = [item for error_kind in kinds for item in _of_kind(suspects, error_kind)[:most]]
    if as_json:
        print_json([document(item) for item in found])
    elif as_csv:
        print_csv(found)
    else:
        for error_kind in kinds:
            print_suspects(error_kind, _of_kind(suspects, error_kind), most)


async def _read(context: Context, split: Split | None) -> list[SuspectedLabel]:
    async with opened(context.stored(), "label-errors") as app:
        settings = app.settings
        return await read_label_errors(
            app.stores.frames,
            settings.split_rule,
            split,
            count_copies=settings.count_copies,
            redacting=settings.redact_detector,
        )


def _of_kind(found: Sequence[SuspectedLabel], kind: LabelError) -> list[SuspectedLabel]:
    return [item for item in found if item.error is kind]


def print_csv(found: Sequence[SuspectedLabel]) -> None:
    """Print a row per suspect, with a header."""
    rows = csv.DictWriter(sys.stdout, _COLUMNS)
    rows.writeheader()
    for item in found:
        cells = {name: cell_of(value) for name, value in document(item).items()}
        # Numbers, which an apostrophe would hide from other programs where x is negative.
        rows.writerow(cells | {"bbox": _box(item)})


def document(item: SuspectedLabel) -> dict[str, object]:
    """A suspect as JSON has it."""
    return {
        "kind": item.error.value,
        "suspicion": round(item.suspicion, 4),
        "frame_id": item.frame_id,
        "annotated_as": item.annotated_as,
        "category": item.category,
        "bbox": list(item.bbox),
    }


def _box(item: SuspectedLabel) -> str:
    return " ".join(f"{side:g}" for side in item.bbox)


def print_suspects(kind: LabelError, found: Sequence[SuspectedLabel], most: int) -> None:
    """Print the most suspicious labels of one kind."""
    table = Table(
        box=None,
        title=f"{kind.value}: {len(found):,} labels that a detector contradicts",
        title_justify="left",
    )
    for heading in ("suspicion", "frame", "annotated as", "detected as", "box"):
        table.add_column(heading, justify="right" if heading == "suspicion" else "left")
    for item in found[:most]:
        named = item.annotated_as or "–"  # noqa: RUF001
        table.add_row(f"{item.suspicion:.2f}", item.frame_id, named, item.category, _box(item))
    console().print(table, highlight=False)
