"""`gazeloop evaluate`: COCO's numbers of two files, without a stack."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.cli.datasets import (
    AcceptPartial,
    ClassNamesFile,
    GroundTruth,
    IouTypeOption,
    PredictionsFormat,
)
from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups
from services.formats.readers.detections.format_names import FormatName

app = typer.Typer()

_FILES = "evaluate --ground-truth gt.json --predictions dt.json"


@dataclass(frozen=True)
class ResultsFile:
    """A detector's results, and how to read them."""

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
    ]
    predictions_format: PredictionsFormat = FormatName.AUTO
    class_names: ClassNamesFile = None
    categories: Annotated[
        Path | None,
        typer.Option(
            "--categories",
            help="Map of the detector's category names to those of the ground truth, as JSON:"
            ' `{"stop_sign": "stop sign", "person": null}`; null leaves a name out.',
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None


@app.command(
    "evaluate",
    epilog=example(_FILES, f"{_FILES} --iou-type segm --json | jq .numbers.AP", f"{_FILES} --csv"),
)
@with_option_groups
@done_by("services.cli.work.evaluate")
def evaluate(
    ctx: typer.Context,
    *,
    ground_truth: GroundTruth,
    results: ResultsFile,
    iou_type: IouTypeOption = "bbox",
    operating_score: Annotated[
        float | None,
        typer.Option(
            "--operating-score",
            min=0,
            max=1,
            help="The score from which detections are shown: for precision, recall and the"
            " confusion matrix, of all categories. Default: the settings `operating_score` and"
            " `operating_score_of`.",
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
