"""What `gazeloop label-studio` does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import typer

from services.annotation.label_studio.plans import Pushed
from services.annotation.label_studio.project import ensure_project, ensure_webhook, offer_labels
from services.annotation.label_studio.pulling import Pulled
from services.annotation.stores.opening import open_annotation_stores
from services.app.label_studio_parts import LabelStudioParts
from services.app.label_studio_parts import label_studio as label_studio_parts
from services.app.parts import App
from services.cli.console import console, print_json, styled
from services.cli.context import Context, run, shared
from services.cli.refusals import of_tasks
from services.cli.work.opened import opened
from services.domain.chunks import chunks
from services.runtime.clock import SystemClock

_AGAIN = "Run the same command to continue; nothing is sent twice."
_CHUNK = 500
_WAIT_S = 60.0
Work = Callable[[App, LabelStudioParts], Awaitable[None]]


def setup(ctx: typer.Context) -> None:
    """Run `gazeloop label-studio setup`."""
    _run(ctx, _set_up)


def push(ctx: typer.Context, *, again: bool) -> None:
    """Run `gazeloop label-studio push`."""

    async def work(app: App, parts: LabelStudioParts) -> None:
        _print_pushed(await _push(app, parts, again=again))

    _run(ctx, work)


def pull(ctx: typer.Context) -> None:
    """Run `gazeloop label-studio pull`."""

    async def work(app: App, parts: LabelStudioParts) -> None:
        pulled = await parts.puller.pull()
        _print_pulled(app, pulled)
        _end_if_refused(pulled)

    _run(ctx, work)


def sync(ctx: typer.Context) -> None:
    """Run `gazeloop label-studio sync`."""

    async def work(app: App, parts: LabelStudioParts) -> None:
        pulled = await parts.puller.pull()
        _print_pulled(app, pulled)
        _print_pushed(await _push(app, parts, again=False))
        _end_if_refused(pulled)

    _run(ctx, work)


def status(ctx: typer.Context, *, as_json: bool) -> None:
    """Run `gazeloop label-studio status`."""

    async def work(app: App, parts: LabelStudioParts) -> None:
        counts = await parts.stores.annotation_tasks.counts()
        waiting = len(await app.stores.held.waiting())
        if as_json:
            print_json({name.value: count for name, count in counts.items()} | {"held": waiting})
            return
        for name, count in counts.items():
            console().print(f"{name.value:<10} {count:>7,}", highlight=False)
        if waiting:
            console().print(_held_text(waiting, app), highlight=False, soft_wrap=True)

    _run(ctx, work)


def _run(ctx: typer.Context, work: Work) -> None:
    context = shared(ctx)

    async def whole() -> None:
        async with _parts(context) as (app, parts):
            await work(app, parts)

    run(whole, interrupted=_AGAIN)


@asynccontextmanager
async def _parts(context: Context) -> AsyncIterator[tuple[App, LabelStudioParts]]:
    async with opened(context.stored(), "label-studio") as app:
        stores = await open_annotation_stores(app.stores)
        async with label_studio_parts(stores, app.outbox, app.settings, SystemClock()) as parts:
            yield app, parts


async def _set_up(app: App, parts: LabelStudioParts) -> None:
    project, interface = await ensure_project(parts.tool, app.settings, parts.stores)
    labels = await app.stores.categories.all()
    interface = await offer_labels(parts.tool, project, interface, labels)
    out = console()
    out.print(
        f"project   {parts.tool.url}/projects/{project} ({len(interface.labels)} labels)",
        highlight=False,
        soft_wrap=True,
    )
    images = f"by link from {app.settings.public_url}" if app.settings.public_url else "uploaded"
    out.print(f"images    {images}", highlight=False, soft_wrap=True)
    webhook = await ensure_webhook(parts.tool, app.settings, project)
    polling = f"polled every {app.settings.label_studio_poll_s:.0f} s"
    pushed = f"sent to {webhook}, and " if webhook else ""
    out.print(f"changes   {pushed}{polling}", highlight=False)


async def _push(app: App, parts: LabelStudioParts, *, again: bool) -> Pushed:
    """Push all stored shortlists, including those that no running service has consumed."""
    tasks = parts.stores.annotation_tasks
    found = [record.shortlist async for record in app.stores.needles.scan() if record.shortlist]
    for chunk in chunks(found, _CHUNK):
        await tasks.ask(chunk)
    if again:
        await tasks.forget_deleted()
    return await parts.pusher.push(wait_s=_WAIT_S)


def _print_pushed(pushed: Pushed) -> None:
    counts = {
        "created": pushed.created,
        "recreated": pushed.changed,
        "withdrawn": pushed.withdrawn,
        "found in the project": pushed.adopted,
        "left unchanged, annotation has begun": pushed.left,
        "deleted in Label Studio": pushed.deleted,
        "refused, or without an image": pushed.refused,
        "waiting, image hidden": len(pushed.waiting),
    }
    _print_counts("pushed", counts)


def _print_pulled(app: App, pulled: Pulled) -> None:
    held = pulled.held.total()
    counts = {
        "published": pulled.published,
        "held": held,
        "unfinished": pulled.unfinished,
        "skipped": pulled.skipped,
        "deleted in Label Studio": pulled.deleted,
        "submitted, then deleted": pulled.unanswered,
        **{f"refused, {reason.replace('_', ' ')}": n for reason, n in pulled.refused.items()},
        **{f"left out, {reason.replace('_', ' ')}": n for reason, n in pulled.left_out.items()},
    }
    _print_counts("pulled", counts)
    for adjustment, count in pulled.adjusted.items():
        console().print(f"  {adjustment.sentence(count)}", highlight=False)
    if held:
        console().print(_held_text(held, app), highlight=False, soft_wrap=True)


def _end_if_refused(pulled: Pulled) -> None:
    """Print remedies for refused corrections; exit with 1 if all were refused.

    An empty pull is not an error.
    """
    if not pulled.refused:
        return
    taken = bool(pulled.published or pulled.held)
    line = of_tasks(pulled.refused, pulled.first_refusal, taken=taken)
    console().print(styled("\n[bold red]Refused:[/] {}", line), soft_wrap=True)
    if not taken:
        raise typer.Exit(1)


def _held_text(count: int, app: App) -> str:
    wait = "correction waits" if count == 1 else "corrections wait"
    questions = app.review("/questions")
    return f"{count:,} {wait} for an answer: on {questions}, or with `gazeloop questions`"


def _print_counts(title: str, counts: dict[str, int]) -> None:
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    console().print(f"{title}: {', '.join(parts) or 'nothing new'}", highlight=False)
