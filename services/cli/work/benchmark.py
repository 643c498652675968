"""What `gazeloop benchmark` does."""

from pathlib import Path

import typer

from services.annotation.export_choice import What
from services.annotation.exporting import chosen_frames
from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.stores.opening import AnnotationStores
from services.benchmark.running import Drawing, RetrievalRun, measured, shown
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.labelled_source import Source
from services.cli.work.labelled import labelled_frames
from services.embedder.training.choices import LabelRule, Looked
from services.formats.writers.frames import ExportFrame
from services.runtime.settings import Settings


def retrieval(
    ctx: typer.Context,
    *,
    source: Source,
    looked: Looked,
    label: LabelRule,
    models: list[str] | None,
    searches: list[str] | None,
    supercategories: list[str] | None,
    letterbox: int | None,
    queries: int,
    depth: int,
    seed: int,
    montages: int,
    query: list[str] | None,
    to: Path,
) -> None:
    """Run `gazeloop benchmark retrieval`."""
    benchmark = RetrievalRun(
        source.coco,
        looked,
        label,
        models or [],
        searches or [],
        supercategories or [],
        letterbox=letterbox,
        queries=queries,
        depth=depth,
        seed=seed,
        drawing=Drawing(query or [], montages),
        to=to,
    )
    if letterbox is not None and looked is not Looked.FRAMES:
        raise typer.BadParameter("only whole frames are padded", param_hint="--letterbox")
    run(lambda: _retrieval(shared(ctx), source, benchmark), interrupted="Nothing was written.")


async def _retrieval(context: Context, source: Source, benchmark: RetrievalRun) -> None:
    settings = context.settings()
    frames = await labelled_frames(source, context, _all_annotated)
    shown(benchmark, measured(benchmark, frames, settings, console()), console())


async def _all_annotated(stores: AnnotationStores, settings: Settings) -> list[ExportFrame]:
    del settings
    return await chosen_frames(stores, What.ANNOTATED, NeedleFilter())
