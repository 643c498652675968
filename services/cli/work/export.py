"""What `gazeloop export` and `gazeloop training-set` do."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import typer

from services.annotation import exporting
from services.annotation.export_choice import What
from services.annotation.exporting import Written
from services.annotation.fiftyone_export import FiftyOneCounts, FiftyOneExport
from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.stores.opening import AnnotationStores, open_annotation_stores
from services.annotation.tables import write_tables
from services.app.parts import joined
from services.app.read_vectors import open_vectors_to_read
from services.app.undoing.campaigns import refuse_undone
from services.cli.console import console, styled
from services.cli.context import Context, run, shared
from services.cli.export_command import ExportFormat, NamedFrames
from services.cli.idle_options import refuse_options
from services.cli.logs import log_to_file
from services.cli.needle_options import NeedleOptions
from services.cli.tag_options import TagOptions
from services.cli.work.leaving import leaving, leaving_all
from services.cli.work.listed_file import Listed, read_listed
from services.cli.work.opened import opened
from services.cli.work.sample_file import read_sample
from services.contracts.identity import FrameId
from services.domain.metrics.slice_pairs import Tag
from services.domain.redaction import ShownImage
from services.evaluator.samples.report import DrawnSample
from services.formats.writers.format_names import Format
from services.formats.writers.frames import ExportFrame
from services.formats.writers.tables import TableFormat
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages


class Circled(NamedTuple):
    """The name of a shortlist that was circled on the map."""

    name: str


Wanted = NeedleFilter | Listed | Circled | DrawnSample
"""Which frames an export has."""
_INCOMPLETE = "The folder is not complete; remove it and start again."
_OF_EVERYTHING = frozenset({ExportFormat.CSV, ExportFormat.PARQUET, ExportFormat.FIFTYONE})


def export(
    ctx: typer.Context,
    *,
    form: ExportFormat,
    to: Path,
    what: What,
    needles: NeedleOptions,
    frames: TagOptions,
    named: NamedFrames,
    images: bool,
    proposals: bool,
) -> None:
    """Run `gazeloop export`."""
    context = shared(ctx)
    if form in _OF_EVERYTHING:
        _refuse_filters(ctx, form)
        if form is ExportFormat.FIFTYONE:
            _export_fiftyone(context, to)
        else:
            _export_tables(context, TableFormat(form.value), to)
        return
    _refuse_idle(ctx, what, named)
    tags, wanted = frames.tags(), _wanted(needles, named)
    if isinstance(wanted, DrawnSample) and tags:
        raise typer.BadParameter("a part of a sample is no sample: leave out the tags", ctx)
    written = run(
        lambda: _export(
            *(context, Format(form.value), to, what, wanted),
            tags=tags,
            images=images,
            proposals=proposals,
        ),
        interrupted=_INCOMPLETE,
    )
    tell(written, to)


def _wanted(needles: NeedleOptions, named: NamedFrames) -> Wanted:
    if named.sample is not None:
        return read_sample(named.sample)
    if named.listed is not None:
        return read_listed(named.listed)
    if named.circled is not None:
        return Circled(named.circled)
    return needles.filter()


def training_set(
    ctx: typer.Context, *, to: Path, form: Literal["coco", "yolo"], images: bool
) -> None:
    """Run `gazeloop training-set`."""
    context = shared(ctx)
    written = run(
        lambda: _training_set(context, Format(form), to, images=images),
        interrupted=_INCOMPLETE,
    )
    tell(written, to)


def _refuse_filters(ctx: typer.Context, form: ExportFormat) -> None:
    names = {str(parameter.name) for parameter in ctx.command.params} - {"form", "to"}
    refuse_options(ctx, names, f"{form} writes everything")


def _refuse_idle(ctx: typer.Context, what: What, named: NamedFrames) -> None:
    """Refuse options that would select nothing, as the frames do not come from needles."""
    of_needles = {field.name for field in fields(NeedleOptions)}
    if named.sample is not None:
        refuse_options(ctx, of_needles | {"what", "proposals"}, "--sample names frames alone")
    elif named.listed is not None or named.circled is not None:
        refuse_options(ctx, of_needles | {"what"}, "the frames are named")
    elif what is What.ANNOTATED:
        without = "--what annotated takes all annotated frames, without needles"
        refuse_options(ctx, of_needles | {"proposals"}, without)


def _export_tables(context: Context, form: TableFormat, to: Path) -> None:
    rows = run(
        lambda: _tables(context, form, to),
        interrupted=_INCOMPLETE,
    )
    for name, count in rows.items():
        console().print(f"{count:>12,} rows  {to / name}.{form.value}", highlight=False)


async def _tables(context: Context, form: TableFormat, to: Path) -> Mapping[str, int]:
    async with opened(context.stored(), "export") as app:
        stores = await open_annotation_stores(app.stores)
        with console(stderr=True).status("reading") as status:
            async with leaving_all(app.stores, to, form.value):
                return await write_tables(
                    *(stores, form, to),
                    lambda table, count: status.update(f"{table}: {count:,} rows"),
                )


def _export_fiftyone(context: Context, to: Path) -> None:
    counts = run(
        lambda: _fiftyone(context, to),
        interrupted=_INCOMPLETE,
    )
    out = console()
    out.print(
        f"{counts.frames:,} frames, {counts.regions_with_vector:,} detections with a vector, in"
        f" {to}\nWhere FiftyOne is installed: python {to / 'load.py'}",
        highlight=False,
    )
    if counts.unreadable:
        text = "[yellow]left out:[/] {:,} images: unreadable, not redacted yet, or deleted"
        out.print(styled(text, counts.unreadable))


async def _fiftyone(context: Context, to: Path) -> FiftyOneCounts:
    settings = context.stored()
    log_to_file(settings, "export")
    vectors = open_vectors_to_read(settings)
    try:
        async with joined(settings) as app:
            stores = await open_annotation_stores(app.stores)
            images = ShownImages.of(stores.blobs, settings)
            export = FiftyOneExport(stores, vectors, images, settings.split_rule, to)
            with console(stderr=True).status("reading") as status:
                async with leaving_all(app.stores, to, ExportFormat.FIFTYONE.value):
                    return await export.write(lambda done: status.update(f"{done:,} frames"))
    finally:
        await vectors.close()


async def _export(
    context: Context,
    form: Format,
    to: Path,
    what: What,
    wanted: Wanted,
    *,
    tags: frozenset[Tag],
    images: bool,
    proposals: bool,
) -> Written:
    async with opened(context.stored(), "export") as app:
        stores = await open_annotation_stores(app.stores)
        if isinstance(wanted, DrawnSample):
            await refuse_undone(app.stores.imports, wanted)
        frames = await _chosen(stores, what, wanted, tags)
        if not proposals:
            frames = [replace(frame, proposals=()) for frame in frames]
        store = ShownImages.of(stores.blobs, app.settings) if images else None
        recorded = {"what": what.value}
        return await _write(stores, frames, form, to, store, recorded=recorded, what=what.value)


async def _chosen(
    stores: AnnotationStores, what: What, wanted: Wanted, tags: frozenset[Tag]
) -> list[ExportFrame]:
    if isinstance(wanted, NeedleFilter):
        return await exporting.chosen_frames(stores, what, wanted, tags)
    if isinstance(wanted, Circled):
        wanted = await _circled(stores, wanted)
    elif isinstance(wanted, DrawnSample):
        wanted = {frame_id: {} for frame_id in wanted.frames}
    return await exporting.named_frames(stores, wanted, tags)


async def _circled(stores: AnnotationStores, wanted: Circled) -> Listed:
    shortlist = await stores.region_shortlists.find(wanted.name)
    if shortlist is None:
        names = ", ".join(known.name for known in await stores.region_shortlists.summaries())
        text = f"there is no shortlist {wanted.name}; known ones: {names or 'none'}"
        raise typer.BadParameter(text, param_hint="--circled")
    return exporting.proposals_of(shortlist)


async def _training_set(context: Context, form: Format, to: Path, *, images: bool) -> Written:
    settings = context.stored()
    facts: dict[str, Any] = {
        "held_out": {
            "reference_share": settings.reference_share,
            "split_seed": settings.split_seed,
            "split_by": settings.split_by,
        },
        "confirmed_weight": exporting.CONFIRMED_WEIGHT,
    }
    async with opened(settings, "export") as app:
        stores = await open_annotation_stores(app.stores)
        chosen = await exporting.training_set(stores, settings)
        seen = ShownImages.of if settings.redact_training else ShownImages.originals
        store = seen(stores.blobs, settings) if images else None
        recorded = {"what": "training-set", **_originals(settings, store)}
        return await _write(
            stores,
            chosen.frames,
            form,
            to,
            store,
            recorded=recorded,
            left_out=chosen.left_out,
            **facts,
        )


def _originals(settings: Settings, images: ShownImages | None) -> dict[str, str]:
    """For the audit log: whether people now have images that they see redacted elsewhere."""
    leave = images is not None and settings.redacted_categories and not settings.redact_training
    return {"images": "originals"} if leave else {}


async def _write(
    stores: AnnotationStores,
    frames: Sequence[ExportFrame],
    form: Format,
    to: Path,
    images: ShownImages | None,
    *,
    recorded: Mapping[str, str],
    left_out: Mapping[str, int] = MappingProxyType({}),
    **facts: object,
) -> Written:
    """Write the frames that may be exported, once the audit log has recorded that they leave."""
    kept, shown, hidden = await _shown(stores, frames, images)
    frame_ids = [frame.frame_id for frame in kept]
    async with leaving(stores, to, frame_ids, **recorded, form=form.value):
        return await asyncio.to_thread(
            exporting.write_export,
            kept,
            form,
            to,
            shown,
            images,
            left_out={**left_out, **hidden},
            **facts,
        )


async def _shown(
    stores: AnnotationStores, frames: Sequence[ExportFrame], images: ShownImages | None
) -> tuple[Sequence[ExportFrame], Mapping[FrameId, ShownImage], Mapping[str, int]]:
    """The frames that may be exported, their images, and the count of hidden ones, if any."""
    if images is None:
        return frames, {}, {}
    shown = await exporting.shown_images(stores, frames, images)
    kept = [frame for frame in frames if frame.frame_id in shown]
    hidden = len(frames) - len(kept)
    return kept, shown, {"not redacted yet, or deleted": hidden} if hidden else {}


def tell(written: Written, to: Path) -> None:
    """Print what was exported, and what was not."""
    export = written.export
    boxes = sum(len(frame.annotations or ()) for frame in export.frames)
    out = console()
    out.print(f"{len(export.frames):,} frames with {boxes:,} boxes in {to}", highlight=False)
    for name, count in export.losses.items():
        out.print(styled("[yellow]left out:[/] {:,} {}", count, name))
    if not export.frames and not export.losses:
        out.print("No frame matches the filters.", style="dim", highlight=False)
