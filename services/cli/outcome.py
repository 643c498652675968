"""Print the outcome of a run: report, refused records, location of montages."""

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.app.first_names import first_names
from services.cli.console import styled
from services.cli.mining import Mined
from services.cli.montage_options import MontagePlan
from services.cli.refusals import end_if_refused
from services.cli.report_view import print_report
from services.formats.items import Dataset
from services.ingest.source import Source
from services.ingest.summary import Summary

_NAMED = 5
SHOWN_REJECTIONS = 20
"""Maximum number of printed rejections; `gazeloop dead-letters list` shows all."""


def concluded(out: Console, mined: Mined, plan: MontagePlan) -> None:
    """Print the outcome of mining a data set.

    Raises
    ------
    typer.Exit
        With 1, if data was lost, nothing was accepted, or all records of a kind were refused.
    """
    for report in mined.reports:
        out.print()
        print_report(out, report)
    if not mined.reports:
        out.print("Nothing to compare yet: no frame has both predictions and ground truth.")
    print_adjustments(out, mined.published)
    print_rejections(out, mined.published)
    print_left_out(out, mined.published)
    if mined.montages:
        out.print(f"\n{len(mined.montages)} montages in {plan.folder}", highlight=False)
    if mined.lost:
        text = styled(
            "[bold red]Lost:[/] {:,} frames of the data set are not stored completely. See the log"
            " in the data folder; run the command again to send them again.",
            mined.lost,
        )
        out.print(text)
        raise typer.Exit(1)
    if mined.empty_split:
        out.print(Text(f"\n{mined.empty_split}", style="yellow"), soft_wrap=True)
    end_if_refused(out, mined.published, Source.IMPORT)


def print_if_empty(out: Console, dataset: Dataset) -> None:
    """Say that a data set has no images, as nothing else does."""
    if dataset.frames == 0:
        text = f"{dataset.name} lists no images: nothing to publish"
        out.print(Text(text, style="yellow"), soft_wrap=True)


def print_adjustments(out: Console, summary: Summary) -> None:
    """Print repairs and assumptions: one line per kind, with the first location."""
    if not summary.adjusted:
        return
    out.print(Text("\nRepairs and assumptions:", style="yellow"))
    for adjustment, count in summary.adjusted.most_common():
        line = f"  {adjustment.sentence(count)}; first in {summary.adjusted_at[adjustment]}"
        out.print(Text(line), soft_wrap=True)


def print_left_out(out: Console, summary: Summary) -> None:
    """Print the frames that count neither as reference nor in mAP, and the remedy."""
    for line in left_out(summary):
        out.print(Text(line, style="yellow"), soft_wrap=True)


def left_out(summary: Summary) -> list[str]:
    """The same as lines; empty if every frame counts."""
    lines = []
    parts = [
        f"{count:,} frames have {description}"
        for count, description in (
            (summary.partial_ground_truth, "ground truth with refused annotations"),
            (summary.partial_predictions, "predictions with refused detections"),
        )
        if count
    ]
    if parts:
        named = first_names(list(summary.partial_frames), _NAMED)
        lines.append(
            f"{'; '.join(parts)}. They count neither as reference nor in mAP: {named}."
            " Import the corrected file, or this one again with --accept-partial."
        )
    if summary.erased:
        lines.append(f"{summary.erased:,} frames were erased on request, and are left out.")
    if summary.copies:
        lines.append(
            f"{summary.copies:,} frames are copies: an earlier frame has the same image."
            " They count neither as reference nor in mAP, unless --set count_copies=true."
        )
    return [*lines, "`gazeloop frames not-counted` lists these frames."] if lines else []


def print_rejections(out: Console, summary: Summary) -> None:
    """Print rejections: counts by reason, then the first ones with their locations."""
    if not summary.rejected:
        return
    count = summary.rejected.total()
    rest = "; the rest was accepted" if summary.accepted_frames else ""
    out.print(Text(f"\n{count:,} records could not be used{rest}:", style="yellow"))
    table = Table(box=None)
    table.add_column("reason", header_style="dim")
    table.add_column("records", justify="right", header_style="dim")
    for reason, count in summary.rejected.most_common():
        table.add_row(reason, f"{count:,}")
    out.print(table)
    for rejection in summary.rejections[:SHOWN_REJECTIONS]:
        out.print(Text(f"  {rejection.location}: {rejection.detail}"))
    hidden = summary.rejected.total() - min(len(summary.rejections), SHOWN_REJECTIONS)
    if hidden:
        out.print(f"  … and {hidden:,} more: `gazeloop dead-letters list`", highlight=False)
