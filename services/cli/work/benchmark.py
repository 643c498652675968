"""What `gazeloop benchmark` does."""

from pathlib import Path

import typer

from services.annotation.export_choice import What
from services.annotation.exporting import chosen_frames
from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.stores.opening import AnnotationStores
from services.benchmark.running import Drawing, RetrievalRun, measured, shown
from services.cli.benchmark_command import ComparedOptions, DrawingOptions, QueryOptions
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.labelled_source import ExampleOptions, Source
from services.cli.work.labelled import labelled_frames
from services.embedder.training.choices import Looked
from services.formats.writers.frames import ExportFrame
from services.runtime.settings import Settings


def retrieval(
    ctx: typer.Context,
    *,
    source: Source,
    examples: ExampleOptions,
    compared: ComparedOptions,
    supercategories: list[str] | None,
    letterbox: int | None,
    queries: QueryOptions,
    drawing: DrawingOptions,
    to: Path,
) -> None:
    """Run `gazeloop benchmark retrieval`."""
    if letterbox is not None and examples.looked is not Looked.FRAMES:
        raise typer.BadParameter("only whole frames are padded", param_hint="--letterbox")
    benchmark = RetrievalRun(
        source.coco,
        examples.looked,
        examples.label,
        compared.models or [],
        compared.searches or [],
        supercategories or [],
        letterbox=letterbox,
        queries=queries.queries,
        depth=queries.depth,
        seed=queries.seed,
        drawing=Drawing(drawing.query or [], drawing.montages),
        to=to,
    )
    run(lambda: _retrieval(shared(ctx), source, benchmark), interrupted="Nothing was written.")


async def _retrieval(context: Context, source: Source, benchmark: RetrievalRun) -> None:
    settings = context.settings()
    frames = await labelled_frames(source, context, _all_annotated)
    shown(benchmark, measured(benchmark, frames, settings, console()), console())


async def _all_annotated(stores: AnnotationStores, settings: Settings) -> list[ExportFrame]:
    del settings
    return await chosen_frames(stores, What.ANNOTATED, NeedleFilter())
