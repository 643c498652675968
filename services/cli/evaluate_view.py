"""Print an evaluation as pycocotools does, as tables, or as CSV."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.refusals import REMEDIES
from services.cli.rounding import rounded
from services.domain.detection.coco import METRICS
from services.evaluator.curves import Confusion, Point
from services.evaluator.files.report import CategoryEvaluation, FileReport
from services.formats.csv_cells import cell_of
from services.formats.items import Rejection

_IOUS: Final = {"AP50": "0.50     ", "AP75": "0.75     "}
_AREAS: Final = {"s": "small", "m": "medium", "l": "large"}
_MAX_COLUMNS: Final = 8
"""Categories up to which the confusion matrix is printed in full."""
_CONFUSIONS: Final = 10
_REJECTIONS: Final = 10
_SLICES: Final = 20
_EVERY: Final = 10
"""Of 101 scores, every tenth is printed."""
_BEST: Final = ("score", "precision", "recall", "f1")
_COLUMNS: Final = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")


def summary(numbers: Mapping[str, float | None]) -> list[str]:
    """COCO's twelve numbers, line by line as `COCOeval.summarize` prints them."""
    return [_line(name, -1.0 if (value := numbers[name]) is None else value) for name in METRICS]


def _line(name: str, value: float) -> str:
    title = "Average Precision" if name.startswith("AP") else "Average Recall"
    most = name.removeprefix("AR") if name in {"AR1", "AR10"} else "100"
    iou, area = _IOUS.get(name, "0.50:0.95"), _AREAS.get(name[-1], "all")
    settings = f"IoU={iou:<9} | area={area:>6s} | maxDets={most:>3}"
    return f" {title:<18} ({name[:2]}) @[ {settings} ] = {value:0.3f}"


def print_evaluation(out: Console, report: FileReport) -> None:
    """Print the whole evaluation, most important questions first."""
    for line in summary(report.numbers):
        out.print(line, highlight=False, soft_wrap=True)
    if report.interval:
        low, high = report.interval
        out.print(Text(f" AP: {low:.3f} to {high:.3f} (95% interval)", style="dim"))
    counts = f"{report.images:,} images, {report.ground_truths:,} objects, {report.detections:,}"
    out.print(Text(f" {counts} detections ({report.iou_type})", style="dim"))
    for title, table in (
        ("Categories, lowest AP first; best F1 and its score, at IoU .5", _categories(report)),
        ("All categories at IoU .5, by the score from which detections are shown", _scores(report)),
        (
            f"Confusions from score {report.operating.score:g} on",
            _confusion(report.curves.confusion),
        ),
        ("AP at IoU .5 that each kind of error costs", _costs(report.error_costs)),
        ("Images by tag, worst first", _slices(report)),
    ):
        if table.row_count:
            out.print()
            out.print(Text(title, style="bold"))
            out.print(table)


def _slices(report: FileReport) -> Table:
    table = _table("tag", "images", "AP", "95% of AP", "minus others", "", "precision", "recall")
    for part in report.slices[:_SLICES]:
        table.add_row(
            part.name,
            f"{part.frames:,}",
            rounded(part.map),
            "" if part.map_interval is None else _between(part.map_interval),
            f"{part.difference:+.3f}",
            "worse" if part.worse else "",
            rounded(part.precision),
            rounded(part.recall),
        )
    return table


def as_csv(report: FileReport) -> str:
    """The table of categories, and of all of them in a last row named `all`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["category", "ground_truths", "detections", *METRICS, "AP_low", "AP_high"]
        + [f"best_{name}" for name in _BEST]
    )
    for part in report.categories:
        best = report.curves.categories[part.category].recommended
        rows.writerow([cell_of(part.category), *_cells(part, best)])
    rows.writerow(["all", *_cells(report, report.curves.recommended)])
    return text.getvalue()


def _cells(part: CategoryEvaluation | FileReport, best: Point | None) -> list[object]:
    return [
        *(part.ground_truths, part.detections, *part.numbers.values()),
        *(part.interval or (None, None)),
        *(best and getattr(best, name) for name in _BEST),
    ]


def print_refused(
    out: Console, rejections: Sequence[Rejection], left_out: Mapping[str, int]
) -> None:
    """Print the records that could not be used, with a remedy for each reason."""
    reasons = Counter(rejection.reason for rejection in rejections)
    for reason, count in reasons.most_common():
        remedy = REMEDIES.get(reason, "")
        out.print(f"{count:,} records refused: {reason}. {remedy}", highlight=False)
    for rejection in rejections[:_REJECTIONS]:
        line = f"  {rejection.location}: {rejection.detail}"
        out.print(line, highlight=False, soft_wrap=True)
    if len(rejections) > _REJECTIONS:
        out.print(f"  … and {len(rejections) - _REJECTIONS:,} more", highlight=False)
    if left_out:
        reasons_text = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        out.print(
            f"Images left out: {reasons_text}. Correct the files, or count these images too with"
            " --accept-partial.",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, justify="right")
    table.columns[0].justify = "left"
    return table


def _categories(report: FileReport) -> Table:
    table = _table("category", "objects", *_COLUMNS, "95% of AP", "best F1", "from score")
    for part in sorted(report.categories, key=_by_precision):
        best = report.curves.categories[part.category].recommended
        table.add_row(
            part.category,
            f"{part.ground_truths:,}",
            *(rounded(part.numbers[name]) for name in _COLUMNS),
            "" if part.interval is None else _between(part.interval),
            *("", "") if best is None else (rounded(best.f1), _rounded_down(best.score)),
        )
    return table


def _by_precision(part: CategoryEvaluation) -> tuple[bool, float, str]:
    precision = part.numbers["AP"]
    return precision is None, precision or 0.0, part.category


def _scores(report: FileReport) -> Table:
    table = _table("score", "precision", "recall", "F1", "true positives", "false positives", "")
    points = {point.score: point for point in report.curves.scores[::_EVERY]}
    names: dict[float, list[str]] = {}
    for point, name in (
        (report.curves.recommended, "best F1"),
        (report.operating, "operating score"),
    ):
        if point is not None:
            points.setdefault(point.score, point)
            names.setdefault(point.score, []).append(name)
    for score, point in sorted(points.items(), key=itemgetter(0)):
        table.add_row(*_point(point), ", ".join(names.get(score, ())))
    table.columns[-1].justify = "left"
    return table


def _point(point: Point) -> Iterator[str]:
    yield f"{point.score:g}"
    yield from (rounded(value) for value in (point.precision, point.recall, point.f1))
    yield from (f"{count:,}" for count in (point.true_positives, point.false_positives))


def _confusion(matrix: Confusion) -> Table:
    if len(matrix.categories) > _MAX_COLUMNS:
        return _largest_confusions(matrix)
    names = (*matrix.categories, "background")
    table = _table("true, detected as", *names)
    for name, row in zip(names, matrix.counts, strict=True):
        table.add_row(name, *(f"{count:,}" if count else "" for count in row))
    return table


def _largest_confusions(matrix: Confusion) -> Table:
    table = _table("true", "detected as", "detections", "of its objects")
    names = matrix.categories
    cells = [
        (count, true, predicted)
        for true, row in enumerate(matrix.counts[:-1])
        for predicted, count in enumerate(row[:-1])
        if count and true != predicted
    ]
    for count, true, predicted in sorted(cells, key=lambda cell: (-cell[0], *cell[1:])):
        if table.row_count == _CONFUSIONS:
            break
        objects = matrix.counts[true][true] + matrix.counts[true][-1]
        table.add_row(names[true], names[predicted], f"{count:,}", f"{objects:,}")
    table.columns[1].justify = "left"
    return table


def _costs(costs: Mapping[str, float]) -> Table:
    names = sorted(costs, key=lambda name: -costs[name])
    table = _table(*(name.replace("_", " ") for name in names))
    table.add_row(*(f"{costs[name]:.3f}" for name in names))
    return table


def _between(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _rounded_down(score: float) -> str:
    """Three digits, rounded down, so that every detection that counts is at or above it."""
    return f"{math.floor(score * 1000) / 1000:.3f}"
