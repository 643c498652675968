"""`gazeloop export` and `gazeloop training-set`: write frames in formats of other tools."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.annotation.export_choice import What
from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.needle_options import NeedleOptions
from services.cli.option_groups import with_option_groups
from services.cli.tag_options import TagOptions

app = typer.Typer()


class ExportFormat(StrEnum):
    """The formats of annotation tools, and those that have everything."""

    COCO = "coco"
    VOC = "voc"
    YOLO = "yolo"
    CVAT = "cvat"
    LABEL_STUDIO = "label-studio"
    DATUMARO = "datumaro"
    CSV = "csv"
    PARQUET = "parquet"
    FIFTYONE = "fiftyone"


To = Annotated[
    Path,
    typer.Option(
        "--to", metavar="DIR", help="Output folder; must be empty or not exist.", show_default=False
    ),
]
Form = Annotated[
    ExportFormat,
    typer.Option(
        "--format",
        help="The format; csv and parquet are tables of everything, fiftyone is a data set of"
        " everything.",
        show_default=False,
    ),
]
Images = Annotated[bool, typer.Option("--images", help="Copy the images too.")]


@dataclass(frozen=True)
class NamedFrames:
    """Frames that a file or a shortlist of the review page names, instead of `--what`.

    Raises
    ------
    typer.BadParameter
        Several name them.
    """

    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample",
            help="The frames that `gazeloop sample draw` printed into this file, instead of"
            " --what.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None
    listed: Annotated[
        Path | None,
        typer.Option(
            "--listed",
            help="The frames of a CSV file that the review page wrote, such as that of circled"
            " regions, instead of --what; its regions are the proposals.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None
    circled: Annotated[
        str | None,
        typer.Option(
            "--circled",
            help="The frames of a shortlist that was circled on the review page's map, instead of"
            " --what; its regions are the proposals.",
            metavar="NAME",
        ),
    ] = None

    def __post_init__(self) -> None:
        if sum(named is not None for named in (self.sample, self.listed, self.circled)) > 1:
            raise typer.BadParameter("give one of --sample, --listed and --circled")


@app.command(
    "export",
    epilog=example(
        "export --format cvat --to to-cvat --what shortlisted --images --proposals",
        "export --format coco --to rain --what annotated --tag weather=rain",
        "export --format coco --to to-annotate --sample june.json --images",
        "export --format label-studio --to circled --listed regions.csv --images --proposals",
        'export --format cvat --to to-cvat --circled "wet crossings" --images --proposals',
        "export --format parquet --to tables",
        "export --format fiftyone --to to-fiftyone",
    ),
)
@with_option_groups
@done_by("services.cli.work.export")
def export(
    ctx: typer.Context,
    *,
    form: Form,
    to: To,
    what: Annotated[
        What,
        typer.Option(
            "--what",
            help="Which frames. drawn: those of shortlists that GAZELOOP_SAMPLED_SHARE drew.",
        ),
    ] = What.SHORTLISTED,
    needles: NeedleOptions,
    frames: TagOptions,
    named: NamedFrames,
    images: Images = False,
    proposals: Annotated[
        bool,
        typer.Option(
            "--proposals", help="Add the predicted regions as proposals to confirm or reject."
        ),
    ] = False,
) -> None:
    """Write frames with their ground truth for an annotation tool, or all tables.

    The filters are those of the review page. What a format cannot express is counted and printed.
    Every format returns the same boxes if they come back unchanged.

    `csv` and `parquet` write frames, detections with their matches, needles, shortlists, verdicts,
    and the figures over time; they take no filter. `fiftyone` writes all images with predictions,
    ground truth, needles and vectors, and `load.py`, which makes a FiftyOne data set of them.
    """


@app.command("training-set", epilog=example("training-set --format yolo --to retrain --images"))
@done_by("services.cli.work.export")
def training_set(
    ctx: typer.Context,
    *,
    to: To,
    form: Annotated[
        Literal["coco", "yolo"], typer.Option("--format", help="What is written.")
    ] = "coco",
    images: Images = False,
) -> None:
    """Write a training set for the detector: annotated frames, never one of the reference.

    Partially annotated frames and copies of another frame's image are left out.

    Frames with a failure that an annotator has confirmed get three times the weight.
    `manifest.json` has every frame's revision and every file's sha256; the same state gives the
    same bytes.
    """
