"""What `gazeloop evaluate` does."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from services.cli import evaluate_view
from services.cli.console import console
from services.cli.context import shared
from services.cli.evaluate_command import ResultsFile
from services.cli.results_reading import read_results
from services.contracts.events import IouType
from services.domain.detection.category_map import SAME_NAMES, CategoryMap
from services.domain.detection.operating_scores import OperatingScores
from services.evaluator.files.evaluation import FileEvaluation
from services.evaluator.files.report import FileReport
from services.formats.category_map_files import read_category_map
from services.formats.items import Dataset, Detector, FrameItem, Rejection
from services.formats.readers.coco import read_coco


def evaluate(
    ctx: typer.Context,
    *,
    ground_truth: Path,
    results: ResultsFile,
    iou_type: IouType,
    operating_score: float | None,
    accept_partial: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Run `gazeloop evaluate`."""
    if as_json and as_csv:
        raise typer.BadParameter("choose --json or --csv")
    operating = shared(ctx).settings().operating_scores
    if operating_score is not None:
        operating = OperatingScores(operating_score)
    names = CategoryMap(read_category_map(results.categories)) if results.categories else SAME_NAMES
    evaluation = FileEvaluation(
        operating, iou_type, accept_partial=accept_partial, categories=names
    )
    report = _report(evaluation, _dataset(ground_truth, results, iou_type), iou_type)
    if as_json:
        print(report.model_dump_json(indent=2))  # noqa: T201  # to be piped
    elif as_csv:
        print(evaluate_view.as_csv(report), end="")  # noqa: T201  # to be piped
    else:
        evaluate_view.print_evaluation(console(), report)
    if report.left_out and not accept_partial:
        raise typer.Exit(1)


def _dataset(ground_truth: Path, results: ResultsFile, iou_type: IouType) -> Dataset:
    return read_coco(
        ground_truth,
        images=None,
        predictions=results.predictions,
        detector=Detector("evaluated", "1", iou_type),
        output_of=partial(
            read_results,
            format_name=results.predictions_format,
            class_names=results.class_names,
            out=console(stderr=True),  # the evaluation may be piped
        ),
    )


def _report(evaluation: FileEvaluation, dataset: Dataset, iou_type: IouType) -> FileReport:
    """Match all images, and print what could not be used."""
    rejections: list[Rejection] = []
    with _progress(dataset) as images:
        for item in images:
            if isinstance(item, Rejection):
                rejections.append(item)
                evaluation.add_refused(item)
            elif isinstance(item, FrameItem):
                evaluation.add(item)
    reasons = Counter(rejection.reason for rejection in rejections)
    found = evaluation.evaluated()
    evaluate_view.print_refused(console(stderr=True), rejections, found.left_out)
    return FileReport.of(found, dict(reasons), iou_type)


@contextmanager
def _progress(dataset: Dataset) -> Iterator[Iterator[object]]:
    """The items of a data set, with a progress bar on a terminal."""
    columns, out = (TextColumn("matching"), BarColumn(), MofNCompleteColumn()), console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        yield iter(bar.track(dataset.items, total=dataset.frames))
