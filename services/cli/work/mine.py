"""What `gazeloop mine` does."""

import time
from pathlib import Path

import typer

from services.app.assembly import running
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.datasets import DetectionOptions, LayoutOptions, TakenOptions
from services.cli.logs import log_to_file
from services.cli.memory_warning import warn_of_memory_broker
from services.cli.mining import mine
from services.cli.montage_options import MontageOptions
from services.cli.outcome import concluded, print_if_empty
from services.cli.progress import ProgressView
from services.cli.work.opening import Opener, coco_opener, via_opener, voc_opener
from services.cli.work.opening_layouts import layout_opener, unpacked
from services.contracts.flow import CONSUMERS
from services.runtime.garbage import spare_long_lived_objects

_RESUME = "Nothing is lost: run the same command to continue."


def coco(
    ctx: typer.Context,
    *,
    images: Path,
    ground_truth: Path,
    detections: DetectionOptions,
    accept_partial: bool,
    montages: MontageOptions,
) -> None:
    """Run `gazeloop mine coco`."""
    _mine(
        shared(ctx),
        coco_opener(ground_truth, images, detections),
        montages,
        accept_partial=accept_partial,
    )


def voc(
    ctx: typer.Context,
    *,
    images: Path,
    annotations: Path,
    detections: DetectionOptions,
    accept_partial: bool,
    montages: MontageOptions,
) -> None:
    """Run `gazeloop mine voc`."""
    _mine(
        shared(ctx),
        voc_opener(annotations, images, detections),
        montages,
        accept_partial=accept_partial,
    )


def via(
    ctx: typer.Context,
    *,
    images: Path,
    annotations: Path,
    detections: DetectionOptions,
    category_attribute: str | None,
    accept_partial: bool,
    montages: MontageOptions,
) -> None:
    """Run `gazeloop mine via`."""
    opener = via_opener(annotations, images, detections, category_attribute=category_attribute)
    _mine(shared(ctx), opener, montages, accept_partial=accept_partial)


def auto(
    ctx: typer.Context,
    path: Path,
    *,
    where: LayoutOptions,
    by: TakenOptions,
    detections: DetectionOptions,
    accept_partial: bool,
    montages: MontageOptions,
) -> None:
    """Run `gazeloop mine auto`."""
    context = shared(ctx)
    with unpacked(path) as folder:
        opener = layout_opener(folder, where, by, detections)
        _mine(context, opener, montages, accept_partial=accept_partial)


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
    # Any free ports: no client connects. Nothing is listed early: no one reads partial lists.
    settings = context.settings(http_port=0, metrics_port=0, shortlist_early=0.0)
    out = console()
    log_to_file(settings, "gazeloop")
    plan = montages.plan(settings.data)
    dataset = opener()  # Before any part starts, so that a wrong path is reported at once.
    with ProgressView(console(stderr=True), time.monotonic) as view:
        view.at("starting the broker, the stores and the services")
        # Nobody opens the review page of a command that ends by itself.
        async with running(settings, CONSUMERS) as app:
            warn_of_memory_broker(view.console, app.settings)
            spare_long_lived_objects()
            mined = await mine(app, dataset, view, plan, accept_partial=accept_partial)
            view.at("done")
    print_if_empty(out, dataset)
    concluded(out, mined, plan)
