"""What `gazeloop cvat` does."""

import structlog
import typer

from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.stores.opening import open_annotation_stores
from services.app.cvat_tasks import Pulled, Pushed, pull_jobs, push_tasks
from services.app.parts import joined
from services.app.repeating import repeated
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.cvat_command import UnitName
from services.cli.needle_options import NeedleOptions
from services.cli.outcome import print_rejections
from services.cli.refusals import end_if_refused
from services.cli.work.ingest import summary_text
from services.cli.work.opened import opened
from services.ingest.source import Source
from services.runtime.clock import SystemClock
from services.runtime.observability.logs import configure_logs
from services.runtime.serving import until_signalled

log = structlog.get_logger(__name__)
_AGAIN = "Run the same command to continue; completed work is not repeated."


def push(ctx: typer.Context, *, by: UnitName, needles: NeedleOptions) -> None:
    """Run `gazeloop cvat push`."""
    context = shared(ctx)
    wanted = needles.filter()
    done = run(lambda: _push(context, by, wanted), interrupted=_AGAIN)
    console().print(
        f"{done.created:,} tasks with {done.frames:,} frames created;"
        f" {done.existing:,} tasks existed already",
        highlight=False,
    )


def pull(ctx: typer.Context, *, every: float | None) -> None:
    """Run `gazeloop cvat pull`."""
    if every is not None:
        every_s = every
        run(lambda: _pull_again(shared(ctx), every_s), interrupted=_AGAIN)
        return

    context = shared(ctx)
    done, questions = run(lambda: _pull(context), interrupted=_AGAIN)
    out = console()
    out.print(
        f"{done.finished:,} jobs finished, {done.unfinished:,} not finished yet", highlight=False
    )
    out.print(summary_text(done.summary, questions), highlight=False, soft_wrap=True)
    print_rejections(out, done.summary)
    end_if_refused(out, done.summary, Source.REANNOTATION, idle=True)


async def _push(context: Context, by: UnitName, wanted: NeedleFilter) -> Pushed:
    async with opened(context.stored(), "cvat") as app:
        stores = await open_annotation_stores(app.stores)
        return await push_tasks(stores, app.settings, by, wanted)


async def _pull(context: Context) -> tuple[Pulled, str]:
    async with opened(context.stored(), "cvat") as app:
        stores = await open_annotation_stores(app.stores)
        pulled = await pull_jobs(stores, app.outbox, app.settings, SystemClock())
        return pulled, app.review("/questions")


async def _pull_again(context: Context, every_s: float) -> None:
    settings = context.stored()
    configure_logs(level=settings.log_level)
    async with joined(settings) as app:
        stores = await open_annotation_stores(app.stores)

        async def pulled() -> None:
            done = await pull_jobs(stores, app.outbox, settings, SystemClock())
            log.info("cvat_pulled", finished=done.finished, unfinished=done.unfinished)

        async with repeated("pull_cvat", pulled, SystemClock(), every_s=every_s):
            await until_signalled()
