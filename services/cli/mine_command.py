"""`gazeloop mine`: the whole pipeline on the user's own data, in one command."""

import time
from pathlib import Path

import typer

from services.app.assembly import running
from services.cli.console import console
from services.cli.context import Context, example, run, shared
from services.cli.datasets import (
    AcceptPartial,
    CategoryAttribute,
    DetectorName,
    GroundTruth,
    Images,
    Name,
    Opener,
    Predictions,
    ViaProject,
    VocAnnotations,
    coco_opener,
    via_opener,
    voc_opener,
)
from services.cli.logs import log_to_file
from services.cli.memory_warning import warn_of_memory_broker
from services.cli.mining import MontagePlan, mine
from services.cli.montage_options import DEFAULT_MONTAGES, MontageFolder, Montages
from services.cli.outcome import concluded
from services.cli.progress import ProgressView

app = typer.Typer(no_args_is_help=True)

_RESULTS = " --predictions dt.json --detector ods@1.4"
RESUME = "Nothing is lost: run the same command to continue."


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
def coco(
    ctx: typer.Context,
    *,
    images: Images,
    ground_truth: GroundTruth,
    predictions: Predictions = None,
    detector: DetectorName = None,
    name: Name = None,
    accept_partial: AcceptPartial = False,
    montages: Montages = DEFAULT_MONTAGES,
    montage_folder: MontageFolder = None,
) -> None:
    """Mine a COCO data set with a detector's COCO results."""
    opener = coco_opener(ground_truth, images, predictions, detector, name)
    _mine(shared(ctx), opener, montages, montage_folder, accept_partial=accept_partial)


@app.command(
    "voc",
    epilog=example("mine voc --images JPEGImages/ --annotations Annotations/" + _RESULTS),
)
def voc(
    ctx: typer.Context,
    *,
    images: Images,
    annotations: VocAnnotations,
    predictions: Predictions = None,
    detector: DetectorName = None,
    name: Name = None,
    accept_partial: AcceptPartial = False,
    montages: Montages = DEFAULT_MONTAGES,
    montage_folder: MontageFolder = None,
) -> None:
    """Mine a Pascal VOC data set: one XML file per image."""
    opener = voc_opener(annotations, images, predictions, detector, name)
    _mine(shared(ctx), opener, montages, montage_folder, accept_partial=accept_partial)


@app.command(
    "via",
    epilog=example("mine via --images survey/ --annotations via_project.json" + _RESULTS),
)
def via(
    ctx: typer.Context,
    *,
    images: Images,
    annotations: ViaProject,
    predictions: Predictions = None,
    detector: DetectorName = None,
    name: Name = None,
    category_attribute: CategoryAttribute = None,
    accept_partial: AcceptPartial = False,
    montages: Montages = DEFAULT_MONTAGES,
    montage_folder: MontageFolder = None,
) -> None:
    """Mine a VIA 2.x data set: rectangles and polygons, the survey's own format."""
    opener = via_opener(
        annotations, images, predictions, detector, name, category_attribute=category_attribute
    )
    _mine(shared(ctx), opener, montages, montage_folder, accept_partial=accept_partial)


def _mine(
    context: Context, opener: Opener, montages: int, folder: Path | None, *, accept_partial: bool
) -> None:
    run(
        lambda: mine_alone(context, opener, montages, folder, accept_partial=accept_partial),
        interrupted=RESUME,
    )


async def mine_alone(
    context: Context,
    opener: Opener,
    montages: int,
    folder: Path | None,
    *,
    accept_partial: bool = False,
) -> None:
    """Start the embedded stack, mine, print, stop.

    Raises
    ------
    GazeloopError
        A part is missing or unreachable, or a file is unreadable.
    typer.Exit
        With 1, if data was lost.
    """
    settings = context.settings(http_port=0, metrics_port=0)  # any free ports: nobody connects
    out = console()
    log_to_file(settings, "gazeloop")
    plan = MontagePlan(folder or settings.data / "montages", montages)
    dataset = opener()  # Before any part starts, so that a wrong path is reported at once.
    with ProgressView(out, time.monotonic) as view:
        view.at("starting the broker, the stores and the services")
        async with running(settings) as stack:
            warn_of_memory_broker(out, stack.settings)
            mined = await mine(stack, dataset, view, plan, accept_partial=accept_partial)
            view.at("done")
    concluded(out, mined, plan)
