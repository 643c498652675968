"""`gazeloop evaluate`: COCO's numbers of two files, without a stack."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from services.cli import evaluate_view
from services.cli.console import console
from services.cli.context import example, shared
from services.cli.datasets import (
    AcceptPartial,
    ClassNamesFile,
    GroundTruth,
    IouTypeOption,
    PredictionsFormat,
)
from services.contracts.events import IouType
from services.evaluator.files.evaluation import FileEvaluation
from services.evaluator.files.report import FileReport
from services.formats.items import Dataset, Detector, FrameItem, Rejection
from services.formats.readers.coco import read_coco
from services.formats.readers.detections.output import Output
from services.formats.readers.detections.registry import FormatName, read_output

app = typer.Typer()

_FILES = "evaluate --ground-truth gt.json --predictions dt.json"


@app.command(
    "evaluate",
    epilog=example(_FILES, f"{_FILES} --iou-type segm --json | jq .numbers.AP", f"{_FILES} --csv"),
)
def evaluate(
    ctx: typer.Context,
    *,
    ground_truth: GroundTruth,
    predictions: Annotated[
        Path,
        typer.Option(
            "--predictions",
            help="The detector's results: COCO (image_id, category_id, bbox or segmentation,"
            " score), or another format of --predictions-format; a file, or a folder with one per"
            " image.",
            exists=True,
            metavar="PATH",
        ),
    ],
    predictions_format: PredictionsFormat = FormatName.AUTO,
    class_names: ClassNamesFile = None,
    iou_type: IouTypeOption = "bbox",
    operating_score: Annotated[
        float | None,
        typer.Option(
            "--operating-score",
            min=0,
            max=1,
            help="The score from which detections are shown: for precision, recall and the"
            " confusion matrix. Default: the setting `operating_score`.",
        ),
    ] = None,
    accept_partial: AcceptPartial = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, with the curves.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print the table of categories as CSV.")
    ] = False,
) -> None:
    """Evaluate a detector's results on a ground truth: two files in, COCO's numbers out.

    Prints COCO's twelve numbers as pycocotools does, with a 95% interval; a table of categories,
    each with the score of its best F1; precision, recall and F1 against the score; what detections
    are confused with; and what each kind of error costs. Starts nothing and stores nothing.
    """
    if as_json and as_csv:
        raise typer.BadParameter("choose --json or --csv")
    score = shared(ctx).settings().operating_score if operating_score is None else operating_score
    evaluation = FileEvaluation(score, iou_type, accept_partial=accept_partial)
    dataset = read_coco(
        ground_truth,
        images=None,
        predictions=predictions,
        detector=Detector("evaluated", "1", iou_type),
        output_of=partial(_output_of, format_name=predictions_format, class_names=class_names),
    )
    report = _report(evaluation, dataset, iou_type)
    if as_json:
        print(report.model_dump_json(indent=2))  # noqa: T201  # to be piped
    elif as_csv:
        print(evaluate_view.as_csv(report), end="")  # noqa: T201  # to be piped
    else:
        evaluate_view.print_evaluation(console(), report)
    if report.left_out and not accept_partial:
        raise typer.Exit(1)


def _output_of(path: Path, format_name: FormatName, class_names: Path | None) -> Output:
    """Read the results, and print their format if it was guessed."""
    output = read_output(path, format_name, class_names)
    if format_name is FormatName.AUTO:
        console(stderr=True).print(f"results read as {output.format}", highlight=False)
    return output


def _report(evaluation: FileEvaluation, dataset: Dataset, iou_type: IouType) -> FileReport:
    """Match all images, and print what could not be used."""
    rejections: list[Rejection] = []
    with _progress(dataset) as images:
        for item in images:
            if isinstance(item, Rejection):
                rejections.append(item)
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
