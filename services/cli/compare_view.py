"""Print a comparison of two detector versions as tables."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.app.first_names import first_names
from services.cli.rounding import rounded
from services.domain.metrics.changes import Change
from services.evaluator.versions.report import (
    ApReport,
    ComparisonReport,
    CostReport,
    FamilyReport,
)

_STYLES: Final = {
    Change.FIXED: "bold green",
    Change.BETTER: "green",
    Change.SAME: "dim",
    Change.WORSE: "red",
    Change.BROKEN: "bold red",
}
_FAMILIES: Final = 20
_FRAMES: Final = 5
"""Frame ids printed per family; the JSON has all."""


def print_comparison(out: Console, report: ComparisonReport) -> None:
    """Print the whole comparison, most important questions first."""
    _line(out, f"{report.sentence}.", style="bold")
    which = "reference frames" if report.frames_of == "reference" else "frames"
    _line(out, f"On {report.frames:,} {which} that both processed: mAP {_ap(report.map)}.")
    _print_families(out, report)
    _print_aps(out, "Categories", report.categories.items())
    _print_aps(out, "Slices", ((f"{part.key}={part.value}", part.ap) for part in report.slices))
    _print_campaign(out, report)


def print_gate(out: Console, report: ComparisonReport, reasons: Sequence[str]) -> None:
    """Print what is fixed and broken with frames, and whether the version passes."""
    _line(out, f"{report.sentence}; mAP {_ap(report.map)}.")
    for family in report.families:
        if family.change is not Change.SAME:
            frames = first_names(family.improved_frames + family.worsened_frames, _FRAMES)
            where = f"{_named(family)}: {family.old:,} → {family.new:,} failures; {frames}"
            _line(out, f"  {family.change.value:<7} {where}")
    for reason in reasons:
        _line(out, f"FAIL: {reason}", style="bold red")
    if not reasons:
        _line(out, "PASS", style="bold green")


def _line(out: Console, text: str, style: str = "") -> None:
    out.print(Text(text, style=style), soft_wrap=True, highlight=False)


def _print_families(out: Console, report: ComparisonReport) -> None:
    moved = [family for family in report.families if family.improved_share is not None]
    if not moved:
        _line(out, "Both versions fail alike on these frames.")
        return
    table = Table(box=None, title="Failures that changed, by family", title_justify="left")
    for heading in ("change", "failures of"):
        table.add_column(heading)
    for heading in ("old", "new", "frames better", "worse", "AP", "AP/hour"):
        table.add_column(heading, justify="right")
    table.add_column("frames", overflow="fold")
    for family in moved[:_FAMILIES]:
        table.add_row(
            Text(family.change.value, style=_STYLES[family.change]),
            _named(family),
            f"{family.old:,}",
            f"{family.new:,}",
            f"{family.improved:,}",
            f"{family.worsened:,}",
            f"{family.ap_gain:+.3f}",
            rounded(family.ap_gain_per_hour),
            first_names(family.improved_frames + family.worsened_frames, _FRAMES),
        )
    out.print(table)
    if len(moved) > _FAMILIES:
        _line(out, f"{len(moved) - _FAMILIES:,} more: --json", style="dim")
    if report.untested:
        text = f"{report.untested:,} changed on too few frames to tell, and count as same."
        _line(out, text, style="dim")


def _print_aps(out: Console, title: str, rows: Iterable[tuple[str, ApReport]]) -> None:
    rows = list(rows)
    if not rows:
        return
    table = Table(box=None, title=title, title_justify="left")
    table.add_column("change")
    table.add_column("")
    table.add_column("AP")
    for name, ap in rows:
        table.add_row(Text(ap.change.value, style=_STYLES[ap.change]), name, _ap(ap))
    out.print(table)


def _print_campaign(out: Console, report: ComparisonReport) -> None:
    cost = report.campaign
    if cost is None or not cost.frames:
        return
    gain = report.map_gain_per_hour
    per_hour = "" if gain is None else f"; mAP {gain:+.3f} per annotator hour"
    _line(out, f"Re-annotated for {report.old}: {_cost(cost)}{per_hour}.")


def _cost(cost: CostReport) -> str:
    if cost.hours is None:
        return f"{cost.frames:,} frames, {cost.boxes:,} boxes (no lead times)"
    return f"{cost.frames:,} frames, {cost.boxes:,} boxes, {cost.hours:.1f} hours"


def _named(family: FamilyReport) -> str:
    really = f", really {family.true_category}" if family.true_category else ""
    name = f" ({family.family[:8]})" if family.family else ""
    return f"{family.category}, {family.error_type.value}{really}{name}"


def _ap(ap: ApReport) -> str:
    change = f"{rounded(ap.old)} → {rounded(ap.new)}"
    if ap.difference is None or ap.interval is None:
        return change
    low, high = ap.interval
    return f"{change}, {ap.difference:+.3f} ({low:+.3f} to {high:+.3f})"
