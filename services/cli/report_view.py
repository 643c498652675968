"""Print the report as tables or JSON."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from services.cli.rounding import rounded
from services.domain.metrics.estimated_precision import NoInterval
from services.domain.metrics.subsets import Subset
from services.evaluator.curves import Point
from services.evaluator.reports.report import Report
from services.evaluator.samples.report import FIGURES, Estimate

_MEANINGS = {
    Subset.ALL: "every frame",
    Subset.R: "reference: searched for needles",
    Subset.H: "haystack: all other frames",
    Subset.S: "shortlist: retrieved from H",
    Subset.REST: "haystack without the shortlist",
}
_LEFT_OUT = {
    "partial_predictions": "predictions with refused detections",
    "partial_ground_truth": "frames with refused annotations",
    "copies": "copies of another frame's image",
}
"""Descriptions of frames that count neither as reference nor in mAP."""
_ANY_WIDTH = 1000
_MAX_RECOMMENDED = 10
_COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")


def print_report(console: Console, report: Report) -> None:
    """Print one detector's report."""
    console.print(rendered(report))


def as_json(reports: Sequence[Report]) -> str:
    """One report as an object; several, of several detectors, as a list."""
    texts = [report.json_text() for report in reports]
    return texts[0] if len(texts) == 1 else "[\n" + ",\n".join(texts) + "\n]"


def rendered(report: Report) -> RenderableType:
    """The whole report, most important questions first."""
    return Group(
        *_titled(f"Detector {report.detector}", _counts(report)),
        *_titled(
            "Needles: false positives on the reference, by error type",
            _needles(report),
            *_places(report),
        ),
        *_costs(report),
        *_titled("Mean average precision, by COCO's rules", _precision(report), _order(report)),
        *_sampled(report),
        *_titled(
            f"All frames at IoU .5 and score {report.operating.score:g} or more",
            _operating(report),
            *_recommended(report),
        ),
        *_estimated(report),
        *_titled(
            f"False positives among {report.shortlist.regions:,} shortlisted regions",
            _shortlist(report),
            *_recovered(report),
            _calibration(report),
        ),
    )


def _titled(title: str, *content: RenderableType) -> Iterator[RenderableType]:
    yield Text(title, style="bold")
    yield from content
    yield Text()


@dataclass(frozen=True)
class _Fitting:
    """Renders the wide form if the terminal has room for it, else the narrow form."""

    wide: RenderableType
    narrow: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = console.measure(self.wide, options=options.update(max_width=_ANY_WIDTH)).maximum
        yield self.wide if needed <= options.max_width else self.narrow


def _table(*headings: str) -> Table:
    """A table of right-aligned numbers under dim headings."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=bool(headings))
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _facts(facts: Sequence[tuple[str, *tuple[str, ...]]]) -> RenderableType:
    """Names above their values, or next to them on a narrow terminal."""
    wide = _table(*(name for name, *_ in facts))
    for row, values in enumerate(zip(*(values for _, *values in facts), strict=True)):
        wide.add_row(*values, style="dim" if row else "")
    narrow = _table()
    for name, *columns in facts:
        narrow.add_row(Text(name, style="dim"), *columns)
    for column in narrow.columns[1:]:
        column.justify = "right"
    return _Fitting(wide, narrow)


def _counts(report: Report) -> RenderableType:
    counts = report.counts.model_dump()
    left_out = {name: counts.pop(name) for name in _LEFT_OUT}
    facts = _facts([(key.replace("_", " "), f"{value:,}") for key, value in counts.items()])
    texts = [f"{count:,} {_LEFT_OUT[name]}" for name, count in left_out.items() if count]
    if not texts:
        return facts
    text = f"not counted: {', '.join(texts)}; `gazeloop frames not-counted` lists them"
    return Group(facts, Text(text, style="yellow"))


def _needles(report: Report) -> RenderableType:
    types = sorted(report.needles_by_error_type.items(), key=lambda row: (-row[1], row[0]))
    return _facts([(name, f"{count:,}") for name, count in types])


def _places(report: Report) -> Iterator[RenderableType]:
    if report.places is None or not report.places.needles.errors:
        return
    needles, listed = report.places.needles, report.places.shortlisted
    yield Text(
        f"{needles.errors:,} needles with a position are {needles.map_objects:,} map objects (a"
        f" category within 25 m, any drive); {listed.errors:,} shortlisted regions are"
        f" {listed.map_objects:,}",
        style="dim",
    )
    if report.places.known:
        yield Text(
            f"{report.places.needles_at_known:,} needles are at one of the"
            f" {report.places.known:,} known places, where nothing more is listed",
            style="dim",
        )


def _costs(report: Report) -> Iterator[RenderableType]:
    costs = sorted(report.error_costs.items(), key=lambda row: -row[1])
    if costs:
        facts = _facts([(name.replace("_", " "), f"{cost:.3f}") for name, cost in costs])
        yield from _titled("AP at IoU .5 that each kind of error costs, on all frames", facts)


def _precision(report: Report) -> RenderableType:
    wide, narrow, legend = _table("subset", *_COLUMNS, ""), _table("subset", *_COLUMNS), _table("")
    for table in (wide, narrow):
        table.columns[0].justify = "left"
    wide.columns[-1].justify = legend.columns[0].justify = "left"
    for subset, meaning in _MEANINGS.items():
        name = subset.replace("-", "\u2212")
        cells = [rounded(report.map[subset][column]) for column in _COLUMNS]
        wide.add_row(name, *cells, Text(meaning, style="dim"))
        narrow.add_row(name, *cells)
        legend.add_row(name, Text(meaning, style="dim"))
    legend.show_header = False
    return _Fitting(wide, Group(narrow, legend))


def _sampled(report: Report) -> Iterator[RenderableType]:
    """The haystack's figures estimated from drawn frames, beside those of all annotated frames."""
    found = report.sampled
    if found is None:
        return
    table = _table("", "estimate", "95% interval", "annotated frames")
    for name in FIGURES:
        part: Estimate = getattr(found, name)
        between = _between(part.interval, "{:.3f}".format)
        title = "mAP" if name == "map" else name
        table.add_row(title, rounded(part.estimate), between, rounded(part.naive))
    yield from _titled(
        f"The whole haystack, estimated from {found.drawn:,} frames drawn by chance",
        table,
        Text(
            f"of about {found.haystack:,} frames; {found.chosen:,} chosen ones stand for"
            f" themselves, {found.awaited:,} drawn ones are not annotated yet",
            style="dim",
        ),
    )


def _order(report: Report) -> RenderableType:
    if report.order_holds is None:
        return Text("order H\u2212S > H > S: not enough frames to tell", style="dim")
    if report.order_holds:
        means = "holds: retrieved frames are harder for the detector than the rest"
        return Text(f"order H\u2212S > H > S {means}", style="green")
    means = "does not hold: retrieved frames are not harder than the rest"
    return Text(f"order H\u2212S > H > S {means}", style="yellow")


def _operating(report: Report) -> RenderableType:
    figures = report.operating
    return _facts(
        [
            ("precision", rounded(figures.precision)),
            ("recall", rounded(figures.recall)),
            ("F1", rounded(figures.f1)),
            ("mean IoU", rounded(figures.mean_iou)),
            ("true positives", f"{figures.true_positives:,}"),
            ("false positives", f"{figures.false_positives:,}"),
            ("false negatives", f"{figures.false_negatives:,}"),
        ]
    )


def _recommended(report: Report) -> Iterator[RenderableType]:
    """The categories with the most ground truth, and the score of each with the largest F1."""
    if report.curves is None:
        return
    points = {name: part.recommended for name, part in report.curves.categories.items()}
    known = [(name, point) for name, point in points.items() if point is not None]
    most = sorted(known, key=lambda row: (-_truths(row[1]), row[0]))[:_MAX_RECOMMENDED]
    if not most:
        return
    table = _table("category", "recommended score", "F1", "precision", "recall")
    table.columns[0].justify = "left"
    for name, point in most:
        numbers = (point.f1, point.precision, point.recall)
        table.add_row(name, f"{point.score:.2f}", *map(rounded, numbers))
    yield table


def _estimated(report: Report) -> Iterator[RenderableType]:
    """Precision where nothing is annotated: of all frames, and the slices that are worst."""
    found = report.estimated
    if found is None or not found.slices:
        return
    table = _table("frames", "", "detections", "precision", "95%", "unlike any annotated")
    table.columns[0].justify = table.columns[-2].justify = "left"
    for part in found.slices[:_MAX_ESTIMATED]:
        between = _between(part.interval, rounded)
        if part.no_interval is not None:
            between = _NO_INTERVAL[part.no_interval]
        cells = (f"{part.frames:,}", f"{part.detections:,}", rounded(part.precision), between)
        name = f"{part.name} (worse)" if part.worse else part.name
        table.add_row(name, *cells, _share(part.drift), style="yellow" if part.worse else "")
    reference = (
        f"measured on the reference: {rounded(found.reference)}"
        f" ({_between(found.reference_interval, rounded)})"
    )
    title = "Precision on a sample of frames without ground truth, estimated"
    yield from _titled(title, table, Text(reference, style="dim"))


_MAX_ESTIMATED = 10
_NO_INTERVAL = {
    NoInterval.FEW_ANNOTATED: "none: too few annotated drives",
    NoInterval.FEW_DETECTIONS: "none: too few detections",
    NoInterval.UNLIKE_ANNOTATED: "none: looks like nothing annotated",
}


def _truths(point: Point) -> int:
    return point.true_positives + point.false_negatives


def _shortlist(report: Report) -> RenderableType:
    figures = report.shortlist
    rows = (
        ("shortlist yield", "yield", _share(figures.found), _share),
        ("random draw", "random_yield", _share(figures.random_yield), _share),
        ("lowest scores", "lowest_yield", _share(figures.lowest_yield), _share),
        ("highest scores", "highest_yield", _share(figures.highest_yield), _share),
        ("lift", "lift", _times(figures.lift), _times),
        ("over lowest scores", "lift_over_lowest", _times(figures.lift_over_lowest), _times),
        ("over highest scores", "lift_over_highest", _times(figures.lift_over_highest), _times),
        ("gain", "gain", _share(figures.gain), _share),
    )
    return _facts(
        [(name, value, _between(figures.intervals.get(key), as_)) for name, key, value, as_ in rows]
    )


def _recovered(report: Report) -> Iterator[RenderableType]:
    figures = report.ap_recovered
    if figures is not None:
        yield Text(
            f"AP of H recovered by repairing the false positives on {figures.frames:,} listed"
            f" frames: {figures.shortlisted:.3f} ({_between(figures.interval, '{:.3f}'.format)});"
            f" on as many random frames {figures.random:.3f}, on those of the highest scores"
            f" {figures.highest_scores:.3f}"
        )


def _calibration(report: Report) -> RenderableType:
    figures = report.calibration
    if figures.error is None:
        return Text(
            "calibration of evidence: no model's prediction has been judged yet", style="dim"
        )
    return Text(
        f"evidence predicted that {_share(figures.predicted)} fail as the needle does;"
        f" {_share(figures.came_true)} do; expected calibration error {rounded(figures.error)}"
        f" over {figures.count:,} listed regions, the likeliest ones (by chance alone, up to"
        f" {rounded(figures.error_by_chance)})",
        style="dim",
    )


def _between(interval: tuple[float, float] | None, as_: Callable[[float], str]) -> str:
    return "" if interval is None else f"{as_(interval[0])} to {as_(interval[1])}"


def _times(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.2f} x"


def _share(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1%}"
