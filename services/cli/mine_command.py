"""`gazeloop mine`: the whole pipeline on the user's own data, in one command."""

import time

import typer

from services.app.assembly import running
from services.cli.console import console
from services.cli.context import Context, example, run, shared
from services.cli.datasets import (
    AcceptPartial,
    CategoryAttribute,
    DetectionOptions,
    GroundTruth,
    Images,
    Opener,
    ViaProject,
    VocAnnotations,
    coco_opener,
    via_opener,
    voc_opener,
)
from services.cli.logs import log_to_file
from services.cli.memory_warning import warn_of_memory_broker
from services.cli.mining import mine
from services.cli.montage_options import MontageOptions
from services.cli.option_groups import with_option_groups
from services.cli.outcome import concluded
from services.cli.progress import ProgressView

app = typer.Typer(no_args_is_help=True)

_RESULTS = " --predictions dt.json --detector ods@1.4"
_RESUME = "Nothing is lost: run the same command to continue."


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
    _mine(
        shared(ctx),
        coco_opener(ground_truth, images, detections),
        montages,
        accept_partial=accept_partial,
    )


@app.command(
    "voc",
    epilog=example("mine voc --images JPEGImages/ --annotations Annotations/" + _RESULTS),
)
@with_option_groups
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
    _mine(
        shared(ctx),
        voc_opener(annotations, images, detections),
        montages,
        accept_partial=accept_partial,
    )


@app.command(
    "via",
    epilog=example("mine via --images survey/ --annotations via_project.json" + _RESULTS),
)
@with_option_groups
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
    opener = via_opener(annotations, images, detections, category_attribute=category_attribute)
    _mine(shared(ctx), opener, montages, accept_partial=accept_partial)


def _mine(
    context: Context, opener: Opener, montages: MontageOptions, *, accept_partial: bool
) -> None:
    run(
        lambda: _mine_alone(context, opener, montages, accept_partial=accept_partial),
        interrupted=_RESUME,
    )


async def _mine_alone(
    context: Context, opener: Opener, montages: MontageOptions, *, accept_partial: bool
) -> None:
    """Start the embedded stack, mine, print, stop.

    Raises
    ------
    GazeloopError
        A part is missing or unreachable, or a file is unreadable.
    typer.Exit
        With 1, if data was lost.
    """
    # Any free ports: nobody connects. Nothing is listed early: nobody waits for part of a list.
    settings = context.settings(http_port=0, metrics_port=0, shortlist_early=0.0)
    out = console()
    log_to_file(settings, "gazeloop")
    plan = montages.plan(settings)
    dataset = opener()  # Before any part starts, so that a wrong path is reported at once.
    with ProgressView(out, time.monotonic) as view:
        view.at("starting the broker, the stores and the services")
        async with running(settings) as stack:
            warn_of_memory_broker(out, stack.settings)
            mined = await mine(stack, dataset, view, plan, accept_partial=accept_partial)
            view.at("done")
    concluded(out, mined, plan)
