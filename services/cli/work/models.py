"""What `gazeloop models` does."""

import time
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.status import Status

from services.app.filling import FILL_PAUSE_S, filler, following
from services.app.models import Model, Models, read_models
from services.app.models import use as make_live
from services.app.parts import joined
from services.app.read_vectors import open_vectors_to_read
from services.app.repeating import Ticker
from services.cli import models_view
from services.cli.console import console, print_json, styled
from services.cli.context import Context, run, shared
from services.cli.logs import log_to_file
from services.embedder.filling import Filled
from services.retriever.comparison import Comparison, ModelComparer
from services.runtime.clock import SystemClock
from services.runtime.stores.vectors_open import open_collection_names, open_vector_store

_FILL = "`gazeloop --set embedder=… models fill` (embedded: `gazeloop up --fill embedder=…`)"
_LINE_EVERY_S = 5.0
_UNREADABLE_SHOWN = 10


def list_(ctx: typer.Context, *, as_json: bool) -> None:
    """Run `gazeloop models list`."""
    context = shared(ctx)
    found = run(lambda: _read(context), interrupted="Nothing was changed.")
    if as_json:
        print_json(asdict(found))
        return
    if not found.models:
        console().print("Nothing is embedded here yet.", highlight=False)
        return
    models_view.print_models(console(), found)


def fill(ctx: typer.Context, *, follow: bool) -> None:
    """Run `gazeloop models fill`."""
    context = shared(ctx)
    run(
        lambda: _fill(context, follow=follow),
        interrupted="Finished work is kept; run the same command to continue.",
    )


def compare(ctx: typer.Context, names: list[str] | None, *, as_json: bool) -> None:
    """Run `gazeloop models compare`."""
    context = shared(ctx)
    found = run(lambda: _compare(context, names or []), interrupted="Nothing was changed.")
    if as_json:
        print_json(asdict(found))
        return
    models_view.print_comparison(console(), found)


def use(ctx: typer.Context, name: str, *, incomplete: bool) -> None:
    """Run `gazeloop models use`."""
    context = shared(ctx)
    run(
        lambda: _use(context, name, incomplete=incomplete),
        interrupted="Run the same command to complete the switch.",
    )


async def _read(context: Context) -> Models:
    settings = context.stored()
    log_to_file(settings, "models")
    names = open_collection_names(settings)
    try:
        async with joined(settings) as app:
            return await read_models(names, app.stores.embeddings)
    finally:
        await names.close()


async def _fill(context: Context, *, follow: bool) -> None:
    settings = context.stored()
    log_to_file(settings, "models")
    vectors = open_vector_store(settings)
    try:
        async with joined(settings) as app:
            work = await filler(
                settings, app.stores, vectors, outbox=app.outbox, clock=SystemClock()
            )
            err = console(stderr=True)
            with err.status(f"filling {work.model_id}") as shown:
                lost = await work.recover()
                if lost:
                    _print_lost(lost)
                progress = _FillView(work.model_id, err, shown)
                _conclude(work.model_id, await work.fill(progress))
                if follow:
                    shown.update(f"following, every {FILL_PAUSE_S:g} s; Ctrl-C stops it")
                    await following(work, Ticker())
    finally:
        await vectors.close()


def _print_lost(frames: int) -> None:
    line = f"embedding {frames:,} frames again whose vectors are lost"
    console(stderr=True).print(line, highlight=False)


class _FillView:
    """Shows the progress of filling: live on a terminal, else a line every few seconds."""

    def __init__(self, model: str, out: Console, shown: Status) -> None:
        self._model = model
        self._out = out
        self._shown = shown
        self._printed_at = -_LINE_EVERY_S

    def __call__(self, so_far: Filled) -> None:
        line = f"{self._model}: {so_far.done:,} of {so_far.captured:,} frames"
        self._shown.update(f"filling {line}")
        now = time.monotonic()
        if not self._out.is_terminal and now - self._printed_at >= _LINE_EVERY_S:
            self._printed_at = now
            self._out.print(line, highlight=False, soft_wrap=True)


def _conclude(model: str, filled: Filled) -> None:
    out = console()
    out.print(f"{model}: {filled.done:,} of {filled.captured:,} frames", highlight=False)
    for frame_id, why in sorted(filled.unreadable.items())[:_UNREADABLE_SHOWN]:
        out.print(styled("[yellow]not embedded:[/] {}: {}", frame_id, why))
    if filled.unreadable:
        out.print(f"{len(filled.unreadable):,} images cannot be embedded", highlight=False)


async def _compare(context: Context, names: Sequence[str]) -> Comparison:
    settings = context.stored()
    log_to_file(settings, "models")
    vectors = open_vectors_to_read(settings)
    try:
        async with joined(settings) as app:
            stores = app.stores
            found = await read_models(vectors, stores.embeddings)
            chosen = [found.named(name) for name in names] or list(found.models)
            comparer = ModelComparer(
                frames=stores.frames,
                matches=stores.matches,
                needles=stores.needles,
                vectors=vectors,
                settings=settings,
            )
            # The live model is the baseline, so it comes first.
            first = sorted(chosen, key=lambda model: not model.live)
            return await comparer.compare([model.model_id for model in first])
    finally:
        await vectors.close()


async def _use(context: Context, name: str, *, incomplete: bool) -> None:
    settings = context.stored()
    log_to_file(settings, "models")
    names = open_collection_names(settings)
    try:
        async with joined(settings) as app:
            embeddings = app.stores.embeddings
            found = await read_models(names, embeddings)
            wanted = found.named(name)
            if wanted.lacking and not incomplete:
                _refuse(wanted)
            await make_live(wanted.model_id, names, embeddings, app.outbox)
    finally:
        await names.close()
    _print_used(wanted, found)


def _refuse(wanted: Model) -> None:
    console(stderr=True).print(
        styled(
            "[bold red]Error:[/] {} lacks {:,} frames that the live model has: searches would miss"
            " them.\n[dim]Fill it with {}, or give --incomplete.[/]",
            wanted.model_id,
            wanted.lacking,
            _FILL,
        ),
        soft_wrap=True,
    )
    raise typer.Exit(1)


def _print_used(wanted: Model, found: Models) -> None:
    out = console()
    out.print(f"live: {wanted.model_id}", highlight=False, soft_wrap=True)
    before = found.live
    if before is None or before == wanted:
        return
    out.print(
        f"was:  {before.model_id}\nBack: gazeloop models use {before.model_id}\n"
        "Keep filling both until the services embed with the new model (`gazeloop up` uses the"
        " live model unless an embedder is set): searches miss frames that only the old model"
        " embeds.",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
