"""The report as people read it, and as programs do."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.domain.subsets import Subset
from services.evaluator.report import Report

_MEANINGS = {
    Subset.ALL: "every frame",
    Subset.R: "reference: looked at for needles",
    Subset.H: "haystack: all other frames",
    Subset.S: "shortlist: retrieved from H",
    Subset.REST: "haystack without the shortlist",
}
_COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")


def print_report(console: Console, report: Report) -> None:
    """Print one detector's report."""
    console.print(rendered(report))


def as_json(reports: Sequence[Report]) -> str:
    """One report as an object; several, of several detectors, as a list."""
    texts = [report.json_text() for report in reports]
    return texts[0] if len(texts) == 1 else "[\n" + ",\n".join(texts) + "\n]"


def rendered(report: Report) -> RenderableType:
    """The whole report, top to bottom in the order of the questions that people ask."""
    return Group(
        _counts(report),
        Text(),
        _needles(report),
        Text(),
        _precision(report),
        _order(report),
        Text(),
        _operating(report),
        Text(),
        _shortlist(report),
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place == 0 else "right", header_style="dim")
    return table


def _counts(report: Report) -> RenderableType:
    table = _table(f"Detector {report.detector}", "", "count")
    for key, value in report.counts.model_dump().items():
        style = "red" if key == "dead_letters" and value else ""
        table.add_row(key.replace("_", " "), Text(f"{value:,}", style=style))
    return table


def _needles(report: Report) -> RenderableType:
    table = _table("Needles: false positives on the reference", "error type", "needles")
    types = sorted(report.needles_by_error_type.items(), key=lambda row: (-row[1], row[0]))
    for name, count in types:
        table.add_row(name, f"{count:,}")
    return table


def _precision(report: Report) -> RenderableType:
    table = _table("Mean average precision, by COCO's rules", "subset", *_COLUMNS, "")
    for subset, meaning in _MEANINGS.items():
        cells = [_number(report.map[subset][column]) for column in _COLUMNS]
        table.add_row(subset.replace("-", "\u2212"), *cells, Text(meaning, style="dim"))
    return table


def _order(report: Report) -> RenderableType:
    holds = report.order_holds
    if holds is None:
        return Text("order H\u2212S > H > S: not enough frames to tell", style="dim")
    means = "what was retrieved is harder for the detector than the rest"
    if holds:
        return Text(f"order H\u2212S > H > S: holds, {means}", style="green")
    return Text(
        "order H\u2212S > H > S: does not hold, what was retrieved is not harder than the rest",
        style="yellow",
    )


def _operating(report: Report) -> RenderableType:
    said = report.operating
    table = _table(f"At IoU .5 and score {said.score:g} or more, all frames", "", "value")
    table.add_row("precision", _number(said.precision))
    table.add_row("recall", _number(said.recall))
    table.add_row("F1", _number(said.f1))
    table.add_row("mean IoU", _number(said.mean_iou))
    table.add_row("true positives", f"{said.true_positives:,}")
    table.add_row("false positives", f"{said.false_positives:,}")
    table.add_row("false negatives", f"{said.false_negatives:,}")
    return table


def _shortlist(report: Report) -> RenderableType:
    said = report.shortlist
    title = f"Of {said.regions:,} shortlisted regions, how many are false positives"
    table = _table(title, "", "share")
    table.add_row("shortlist", _share(said.found))
    table.add_row("equal random draw", _share(said.random_yield))
    lift = said.lift
    table.add_row("lift", "\u2013" if lift is None else f"{lift:.2f} x")
    return table


def _number(value: float | None) -> str:
    # COCO's own code writes -1 where there is nothing to measure.
    return "\u2013" if value is None or value < 0 else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1%}"
