"""What `gazeloop ingest` does."""

import asyncio
import time
from dataclasses import fields
from datetime import UTC
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import typer

from services.app.first_names import first_names
from services.app.parts import joined
from services.cli.console import console
from services.cli.context import Context, run, shared
from services.cli.datasets import (
    DetectionOptions,
    LayoutOptions,
    TakenOptions,
)
from services.cli.idle_options import refuse_options
from services.cli.ingest_command import PublishingOptions, VideoOptions
from services.cli.lag_watch import LagWatch
from services.cli.logs import log_to_file
from services.cli.mining import publish
from services.cli.outcome import (
    print_adjustments,
    print_if_empty,
    print_left_out,
    print_rejections,
)
from services.cli.progress import ProgressView
from services.cli.refusals import end_if_refused
from services.cli.work.opened import opened
from services.cli.work.opening import (
    Opener,
    coco_opener,
    images_opener,
    opener_of,
    via_opener,
    voc_opener,
)
from services.cli.work.opening_layouts import layout_opener, unpacked
from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.formats.items import Dataset
from services.formats.readers.cvat import read_cvat
from services.formats.readers.datumaro import read_datumaro
from services.formats.readers.image_folder import Arrivals
from services.formats.readers.label_studio import read_label_studio
from services.formats.readers.track import read_track
from services.formats.readers.video import Spacing, open_drive, read_video
from services.formats.readers.yolo import read_yolo
from services.ingest.source import Source
from services.ingest.summary import Summary

_NAMED = 5
_LOOK_EVERY_S = 2.0
_RESUME = "Acknowledged records are kept; run the same command to send the rest."


def images_alone(
    ctx: typer.Context,
    *,
    images: Path,
    by: TakenOptions,
    detections: DetectionOptions,
    follow: bool,
) -> None:
    """Run `gazeloop ingest images`."""
    context = shared(ctx)
    if follow and detections.predictions is not None:
        raise typer.BadParameter(
            "results are read once: publish those of new images over HTTP or Kafka",
            param_hint="--follow",
        )
    if follow:
        run(lambda: _follow(context, images, by, detections), interrupted=_RESUME)
    else:
        _ingest(context, images_opener(images, by, detections), PublishingOptions())


def video(
    ctx: typer.Context,
    path: Path,
    *,
    frames: VideoOptions,
    vehicle: str | None,
    name: str | None,
) -> None:
    """Run `gazeloop ingest video`."""
    context, start = shared(ctx), frames.start
    begin = start if start is None or start.tzinfo else start.replace(tzinfo=UTC)
    try:
        spacing = Spacing.parse(frames.every)
    except InvalidRecord as exc:
        raise typer.BadParameter(str(exc), param_hint="--every") from exc
    with TemporaryDirectory(prefix="gazeloop-video-") as pictures:

        def opened() -> Dataset:
            track = read_track(frames.gpx) if frames.gpx is not None else None
            drive = open_drive(path, spacing, track=track, begin=begin)
            return read_video(drive, Path(pictures), dataset=name, vehicle=vehicle)

        _ingest(context, opened, PublishingOptions())


def coco(
    ctx: typer.Context,
    *,
    ground_truth: Path,
    images: Path | None,
    detections: DetectionOptions,
    how: PublishingOptions,
) -> None:
    """Run `gazeloop ingest coco`."""
    _refuse_unpublished(ctx, how)
    opener = coco_opener(ground_truth, images, detections, how.manifest)
    _ingest(shared(ctx), opener, how)


def voc(
    ctx: typer.Context,
    *,
    annotations: Path,
    images: Path | None,
    detections: DetectionOptions,
    how: PublishingOptions,
) -> None:
    """Run `gazeloop ingest voc`."""
    _refuse_unpublished(ctx, how)
    opener = voc_opener(annotations, images, detections, how.manifest)
    _ingest(shared(ctx), opener, how)


def via(
    ctx: typer.Context,
    *,
    annotations: Path,
    images: Path | None,
    detections: DetectionOptions,
    category_attribute: str | None,
    how: PublishingOptions,
) -> None:
    """Run `gazeloop ingest via`."""
    _refuse_unpublished(ctx, how)
    opener = via_opener(
        annotations, images, detections, how.manifest, category_attribute=category_attribute
    )
    _ingest(shared(ctx), opener, how)


def auto(
    ctx: typer.Context,
    path: Path,
    *,
    where: LayoutOptions,
    by: TakenOptions,
    detections: DetectionOptions,
    accept_partial: bool,
) -> None:
    """Run `gazeloop ingest auto`."""
    context = shared(ctx)
    with unpacked(path) as folder:
        opener = layout_opener(folder, where, by, detections)
        _ingest(context, opener, PublishingOptions(accept_partial=accept_partial))


_CORRECTIONS = PublishingOptions(source=Source.REANNOTATION)


def cvat(ctx: typer.Context, *, annotations: Path, manifest: Path) -> None:
    """Run `gazeloop ingest cvat`."""
    opener = opener_of(partial(read_cvat, annotations), manifest, "crowd", "ignore", "mask")
    _ingest(shared(ctx), opener, _CORRECTIONS)


def datumaro(ctx: typer.Context, *, annotations: Path, manifest: Path) -> None:
    """Run `gazeloop ingest datumaro`."""
    opener = opener_of(partial(read_datumaro, annotations), manifest, "crowd", "ignore", "mask")
    _ingest(shared(ctx), opener, _CORRECTIONS)


def label_studio(ctx: typer.Context, *, annotations: Path, manifest: Path | None) -> None:
    """Run `gazeloop ingest label-studio`."""
    opener = opener_of(partial(read_label_studio, annotations), manifest, "crowd", "ignore")
    _ingest(shared(ctx), opener, _CORRECTIONS)


def yolo(ctx: typer.Context, *, labels: Path, manifest: Path) -> None:
    """Run `gazeloop ingest yolo`."""
    opener = opener_of(partial(read_yolo, labels), manifest)
    _ingest(shared(ctx), opener, _CORRECTIONS)


def _refuse_unpublished(ctx: typer.Context, how: PublishingOptions) -> None:
    """Refuse what is never published of corrections: results, tags and parts of frames."""
    if how.source is Source.REANNOTATION:
        unpublished = {field.name for field in fields(DetectionOptions)} - {"name"}
        why = "--source reannotation publishes only the ground truth of whole frames"
        refuse_options(ctx, unpublished | {"accept_partial"}, why)


def _ingest(context: Context, opener: Opener, how: PublishingOptions) -> None:
    run(lambda: _publish(context, opener, how), interrupted=_RESUME)


async def _publish(context: Context, opener: Opener, how: PublishingOptions) -> None:
    settings = context.settings()
    out = console()
    log_to_file(settings, "ingest")
    dataset = opener()
    with ProgressView(console(stderr=True), time.monotonic) as view:
        async with joined(settings) as app:
            watch = LagWatch(app, view)
            summary, _ = await publish(
                app, dataset, watch, view, source=how.source, accept_partial=how.accept_partial
            )
            questions = app.review("/questions")
    print_if_empty(out, dataset)
    out.print(summary_text(summary, questions), highlight=False, soft_wrap=True)
    if dataset.left:
        out.print(_missing_text(sorted(dataset.left)), highlight=False)
    print_adjustments(out, summary)
    print_rejections(out, summary)
    print_left_out(out, summary)
    end_if_refused(out, summary, how.source)


async def _follow(
    context: Context, folder: Path, by: TakenOptions, detections: DetectionOptions
) -> NoReturn:
    out = console()
    arrivals = Arrivals(folder)
    async with opened(context.settings(), "ingest") as app:
        out.print(f"following {folder}; Ctrl-C ends it", highlight=False)
        while True:
            if files := await asyncio.to_thread(arrivals.look):
                dataset = images_opener(folder, by, detections, files)()
                with ProgressView(console(stderr=True), time.monotonic) as view:
                    watch = LagWatch(app, view)
                    summary, _ = await publish(app, dataset, watch, view)
                out.print(summary_text(summary, ""), highlight=False, soft_wrap=True)
                print_rejections(out, summary)
            await asyncio.sleep(_LOOK_EVERY_S)


def _missing_text(left: list[FrameId]) -> str:
    named = first_names(left, _NAMED)
    return (
        f"{len(left):,} frames of the manifest are not in the corrections, or were refused;"
        f" they stay unchanged: {named}"
    )


def summary_text(summary: Summary, questions: str) -> str:
    """The counts of a publishing run, one line per kind of event.

    Parameters
    ----------
    questions : URL of the page that answers held corrections
    """
    kinds = (
        ("frames", summary.frames),
        ("predictions", summary.predictions),
        ("ground truth", summary.ground_truth),
    )
    lines = [
        f"{name}: {count.published:,} published, {count.known:,} known already"
        for name, count in kinds
    ]
    if summary.held:
        held = f"{summary.held.total():,} held until answered"
        lines.append(f"{held}: on {questions}, or with `gazeloop questions`")
    return "\n".join(lines)
