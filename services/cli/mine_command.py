"""`gazeloop mine`: the whole pipeline on the user's own data, in one command."""

import typer

from services.cli.datasets import (
    AcceptPartial,
    CategoryAttribute,
    DataSet,
    DetectionOptions,
    GroundTruth,
    Images,
    LayoutOptions,
    TakenOptions,
    ViaProject,
    VocAnnotations,
)
from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.montage_options import MontageOptions
from services.cli.option_groups import with_option_groups

app = typer.Typer(no_args_is_help=True)

_RESULTS = " --predictions dt.json --detector ods@1.4"


@app.callback()
def mining() -> None:
    """Mine a data set in one command: publish, embed, match, retrieve, report, draw.

    Starts all parts on the data folder, runs the whole pipeline, prints the report and writes a
    montage per needle. Run it again after Ctrl-C or with more data: it continues. Settings such as
    the operating score and the split's share: see `gazeloop settings`.
    """


@app.command(
    "coco",
    epilog=example("mine coco --images street/ --ground-truth gt.json" + _RESULTS),
)
@with_option_groups
@done_by("services.cli.work.mine")
def coco(
    ctx: typer.Context,
    *,
    images: Images,
    ground_truth: GroundTruth,
    detections: DetectionOptions,
    accept_partial: AcceptPartial = False,
    montages: MontageOptions,
) -> None:
    """Mine a COCO data set with a detector's COCO results."""


@app.command(
    "voc",
    epilog=example("mine voc --images JPEGImages/ --annotations Annotations/" + _RESULTS),
)
@with_option_groups
@done_by("services.cli.work.mine")
def voc(
    ctx: typer.Context,
    *,
    images: Images,
    annotations: VocAnnotations,
    detections: DetectionOptions,
    accept_partial: AcceptPartial = False,
    montages: MontageOptions,
) -> None:
    """Mine a Pascal VOC data set: one XML file per image."""


@app.command(
    "via",
    epilog=example("mine via --images survey/ --annotations via_project.json" + _RESULTS),
)
@with_option_groups
@done_by("services.cli.work.mine")
def via(
    ctx: typer.Context,
    *,
    images: Images,
    annotations: ViaProject,
    detections: DetectionOptions,
    category_attribute: CategoryAttribute = None,
    accept_partial: AcceptPartial = False,
    montages: MontageOptions,
) -> None:
    """Mine a VIA 2.x data set: rectangles and polygons, the survey's own format."""


@app.command(
    "auto", epilog=example("mine auto survey/" + _RESULTS, "mine auto kitti.zip" + _RESULTS)
)
@with_option_groups
@done_by("services.cli.work.mine")
def auto(
    ctx: typer.Context,
    path: DataSet,
    *,
    where: LayoutOptions,
    by: TakenOptions,
    detections: DetectionOptions,
    accept_partial: AcceptPartial = False,
    montages: MontageOptions,
) -> None:
    """Mine a folder or zip file in one of twelve formats, and print which it is."""
