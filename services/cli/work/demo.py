"""What `gazeloop demo` does."""

import asyncio
import time
from pathlib import Path

import typer

from services.app.assembly import running
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.cli.memory_warning import warn_of_memory_broker
from services.cli.mining import mine
from services.cli.montage_options import MontageOptions
from services.cli.outcome import concluded
from services.cli.progress import ProgressView
from services.cli.work.serve import print_addresses
from services.contracts.flow import SERVICES
from services.formats.items import Dataset, Detector
from services.formats.readers.coco import read_coco
from services.runtime.garbage import spare_long_lived_objects
from services.runtime.serving import until_signalled
from services.survey import detector
from services.survey.generate import generate_survey

DATA = Path("demo-data")
_EMBEDDER = "gazeloop-small"
"""The demo's embedder: trained on synthetic streets, and faster than the one for photographs."""
_RESUME = "Nothing is lost: run `gazeloop demo` again to continue."


def demo(
    ctx: typer.Context, *, drives: int, frames: int, montages: MontageOptions, serve: bool | None
) -> None:
    """Run `gazeloop demo`."""
    context = shared(ctx)
    size = (drives, frames)
    run(lambda: _demo(context, size, montages, serve=serve), interrupted=_RESUME)


async def _demo(
    context: Context, size: tuple[int, int], montages: MontageOptions, *, serve: bool | None
) -> None:
    settings = context.settings(
        data=DATA, embedder=_EMBEDDER, http_port=0, metrics_port=0, shortlist_early=0.0
    )
    out = console()
    log_to_file(settings, "gazeloop")
    plan = montages.plan(settings.data)
    with ProgressView(console(stderr=True), time.monotonic) as view:
        dataset = await asyncio.to_thread(_survey, settings.data / "survey", size, view)
        view.at("starting the broker, the stores and the services")
        async with running(settings, SERVICES) as app:
            warn_of_memory_broker(view.console, app.settings)
            spare_long_lived_objects()
            mined = await mine(app, dataset, view, plan)
            view.close()
            concluded(out, mined, plan)
            if serve if serve is not None else out.is_terminal:
                print_addresses(out, app)
                await until_signalled()
                out.print("stopping")


def _survey(folder: Path, size: tuple[int, int], view: ProgressView) -> Dataset:
    drives, frames = size
    view.at("drawing the survey, unless it exists")
    files = generate_survey(
        folder,
        drives=drives,
        frames_per_drive=frames,
        progress=lambda done, total: view.counted(frames=total, drawn=done),
    )
    return read_coco(
        files.ground_truth_json,
        images=files.images_dir,
        predictions=files.predictions_json,
        detector=Detector(detector.NAME, detector.VERSION),
        dataset="survey",
    )
