"""`gazeloop export` and `gazeloop training-set`: write frames in formats of other tools."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from services.annotation.export_choice import What
from services.cli.context import Context, console, run, shared

if TYPE_CHECKING:
    from services.annotation.exporting import Written
    from services.annotation.ports.needle_filters import NeedleFilter
    from services.domain.ports.blobs import BlobStore

To = Annotated[
    Path,
    typer.Option(
        "--to", metavar="DIR", help="Output folder; must be empty or not exist.", show_default=False
    ),
]
# Literals, because importing the enumerations is slow; a test compares them.
FormatName = Literal["coco", "voc", "yolo", "cvat", "label-studio", "datumaro"]
TrainingFormatName = Literal["coco", "yolo"]
ErrorTypeName = Literal["classification", "localization", "both", "duplicate", "background"]
StageName = Literal["todo", "open", "started", "done", "extended"]
CategoryFilter = Annotated[
    str | None, typer.Option("--category", help="Only needles with this predicted category.")
]
ErrorTypeFilter = Annotated[
    ErrorTypeName | None, typer.Option("--error-type", help="Only needles of this error type.")
]
DetectorFilter = Annotated[
    str | None,
    typer.Option("--detector", metavar="NAME@VERSION", help="Only needles of this detector."),
]
DriveFilter = Annotated[str | None, typer.Option("--drive", help="Only needles of this drive.")]
StageFilter = Annotated[
    StageName | None, typer.Option("--stage", help="Only needles in this stage of review.")
]
Form = Annotated[FormatName, typer.Option("--format", help="What is written.", show_default=False)]
Images = Annotated[bool, typer.Option("--images", help="Copy the images too.")]


def export(
    ctx: typer.Context,
    *,
    form: Form,
    to: To,
    what: Annotated[What, typer.Option("--what", help="Which frames.")] = What.SHORTLISTED,
    category: CategoryFilter = None,
    error_type: ErrorTypeFilter = None,
    detector: DetectorFilter = None,
    drive: DriveFilter = None,
    stage: StageFilter = None,
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
    chosen = (category, error_type, detector, drive, stage)
    written = run(
        lambda: _export(context, form, to, what, chosen, images=images, proposals=proposals),
        interrupted="The folder is not complete; remove it and start again.",
    )
    _tell(written, to)


def training_set(
    ctx: typer.Context,
    *,
    to: To,
    form: Annotated[TrainingFormatName, typer.Option("--format", help="What is written.")] = "coco",
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
        lambda: _training_set(context, form, to, images=images),
        interrupted="The folder is not complete; remove it and start again.",
    )
    _tell(written, to)


async def _export(
    context: Context,
    form: FormatName,
    to: Path,
    what: What,
    chosen: tuple[str | None, ...],
    *,
    images: bool,
    proposals: bool,
) -> "Written":
    from dataclasses import replace  # noqa: PLC0415

    from services.annotation import exporting  # noqa: PLC0415
    from services.annotation.stores.opening import open_annotation_stores  # noqa: PLC0415
    from services.app.parts import joined  # noqa: PLC0415  # slow
    from services.cli.logs import log_to_file  # noqa: PLC0415
    from services.formats.writers.formats import Format  # noqa: PLC0415

    settings = context.stored()
    log_to_file(settings, "export")
    async with joined(settings) as stack:
        stores = await open_annotation_stores(stack.stores)
        frames = await exporting.chosen_frames(stores, what, needle_filter(*chosen))
        if not proposals:
            frames = [replace(frame, proposals=()) for frame in frames]
        uris = await exporting.image_uris(stores, frames)
        blobs: BlobStore | None = stores.blobs if images else None
        return await asyncio.to_thread(
            exporting.write_export, frames, Format(form), to, uris, blobs, what=what.value
        )


def needle_filter(
    category: str | None,
    error_type: str | None,
    detector: str | None,
    drive: str | None,
    stage: str | None,
) -> "NeedleFilter":
    """The needles that the options name."""
    from services.annotation.ports.needle_filters import NeedleFilter, Stage  # noqa: PLC0415
    from services.contracts.events import ErrorType  # noqa: PLC0415  # slow

    return NeedleFilter(
        category=category,
        error_type=ErrorType(error_type) if error_type else None,
        detector=detector,
        drive=drive,
        stage=Stage(stage) if stage else None,
    )


async def _training_set(
    context: Context, form: TrainingFormatName, to: Path, *, images: bool
) -> "Written":
    from services.annotation import exporting  # noqa: PLC0415
    from services.annotation.stores.opening import open_annotation_stores  # noqa: PLC0415
    from services.app.parts import joined  # noqa: PLC0415  # slow
    from services.cli.logs import log_to_file  # noqa: PLC0415
    from services.formats.writers.formats import Format  # noqa: PLC0415

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
            Format(form),
            to,
            uris,
            blobs,
            left_out=chosen.left_out,
            **facts,
        )


def _tell(written: "Written", to: Path) -> None:
    export = written.export
    boxes = sum(len(frame.annotations or ()) for frame in export.frames)
    out = console()
    out.print(f"{len(export.frames):,} frames with {boxes:,} boxes in {to}", highlight=False)
    for what, count in export.losses.items():
        out.print(f"[yellow]left out:[/] {count:,} {what}", highlight=False)
    if not export.frames:
        out.print("[dim]No frame matches the filters.[/]", highlight=False)
