"""`gazeloop export` and `gazeloop training-set`: write frames in formats of other tools."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from services.annotation import exporting
from services.annotation.export_choice import What
from services.annotation.exporting import Written
from services.annotation.ports.needle_filters import NeedleFilter
from services.annotation.stores.opening import open_annotation_stores
from services.app.parts import joined
from services.cli.console import console
from services.cli.context import Context, example, run, shared
from services.cli.logs import log_to_file
from services.cli.needle_options import NeedleOptions
from services.cli.option_groups import with_option_groups
from services.domain.ports.blobs import BlobStore
from services.formats.writers.formats import Format

app = typer.Typer()


To = Annotated[
    Path,
    typer.Option(
        "--to", metavar="DIR", help="Output folder; must be empty or not exist.", show_default=False
    ),
]
Form = Annotated[Format, typer.Option("--format", help="What is written.", show_default=False)]
Images = Annotated[bool, typer.Option("--images", help="Copy the images too.")]


@app.command(
    "export",
    epilog=example("export --format cvat --to to-cvat --what shortlisted --images --proposals"),
)
@with_option_groups
def export(
    ctx: typer.Context,
    *,
    form: Form,
    to: To,
    what: Annotated[What, typer.Option("--what", help="Which frames.")] = What.SHORTLISTED,
    needles: NeedleOptions,
    images: Images = False,
    proposals: Annotated[
        bool,
        typer.Option(
            "--proposals", help="Add the predicted regions as proposals to confirm or reject."
        ),
    ] = False,
) -> None:
    """Write frames with their ground truth for an annotation tool.

    The filters are those of the review page. What a format cannot express is counted and printed.
    Every format returns the same boxes if they come back unchanged.
    """
    context = shared(ctx)
    wanted = needles.filter()
    written = run(
        lambda: _export(context, form, to, what, wanted, images=images, proposals=proposals),
        interrupted="The folder is not complete; remove it and start again.",
    )
    _tell(written, to)


@app.command("training-set", epilog=example("training-set --format yolo --to retrain --images"))
def training_set(
    ctx: typer.Context,
    *,
    to: To,
    form: Annotated[
        Literal["coco", "yolo"], typer.Option("--format", help="What is written.")
    ] = "coco",
    images: Images = False,
) -> None:
    """Write a training set for the detector: annotated frames, never one of the reference.

    Partially annotated frames and copies of another frame's image are left out.

    Frames with a failure that an annotator has confirmed get three times the weight.
    `manifest.json` has every frame's revision and every file's sha256; the same state gives the
    same bytes.
    """
    context = shared(ctx)
    written = run(
        lambda: _training_set(context, Format(form), to, images=images),
        interrupted="The folder is not complete; remove it and start again.",
    )
    _tell(written, to)


async def _export(
    context: Context,
    form: Format,
    to: Path,
    what: What,
    wanted: NeedleFilter,
    *,
    images: bool,
    proposals: bool,
) -> Written:

    settings = context.stored()
    log_to_file(settings, "export")
    async with joined(settings) as stack:
        stores = await open_annotation_stores(stack.stores)
        frames = await exporting.chosen_frames(stores, what, wanted)
        if not proposals:
            frames = [replace(frame, proposals=()) for frame in frames]
        uris = await exporting.image_uris(stores, frames)
        blobs: BlobStore | None = stores.blobs if images else None
        return await asyncio.to_thread(
            exporting.write_export, frames, form, to, uris, blobs, what=what.value
        )


async def _training_set(context: Context, form: Format, to: Path, *, images: bool) -> Written:

    settings = context.stored()
    log_to_file(settings, "export")
    facts: dict[str, Any] = {
        "held_out": {
            "reference_share": settings.reference_share,
            "split_seed": settings.split_seed,
            "split_by": settings.split_by,
        },
        "confirmed_weight": exporting.CONFIRMED_WEIGHT,
    }
    async with joined(settings) as stack:
        stores = await open_annotation_stores(stack.stores)
        chosen = await exporting.training_set(stores, settings)
        uris = await exporting.image_uris(stores, chosen.frames)
        blobs: BlobStore | None = stores.blobs if images else None
        return await asyncio.to_thread(
            exporting.write_export,
            chosen.frames,
            form,
            to,
            uris,
            blobs,
            left_out=chosen.left_out,
            **facts,
        )


def _tell(written: Written, to: Path) -> None:
    export = written.export
    boxes = sum(len(frame.annotations or ()) for frame in export.frames)
    out = console()
    out.print(f"{len(export.frames):,} frames with {boxes:,} boxes in {to}", highlight=False)
    for what, count in export.losses.items():
        out.print(f"[yellow]left out:[/] {count:,} {what}", highlight=False)
    if not export.frames:
        out.print("[dim]No frame matches the filters.[/]", highlight=False)
