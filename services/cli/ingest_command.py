"""`gazeloop ingest`: publish a data set as events for the services."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from services.app.parts import joined
from services.cli.console import console
from services.cli.context import Context, example, run, shared
from services.cli.datasets import (
    AcceptPartial,
    CategoryAttribute,
    DetectionOptions,
    GroundTruth,
    Images,
    ManifestFile,
    Name,
    Opener,
    OptionalImages,
    OptionalManifest,
    TakenOptions,
    VehicleName,
    ViaProject,
    VocAnnotations,
    coco_opener,
    images_opener,
    opener_of,
    via_opener,
    voc_opener,
)
from services.cli.lag_watch import LagWatch
from services.cli.logs import log_to_file
from services.cli.mining import publish
from services.cli.option_groups import with_option_groups
from services.cli.outcome import print_adjustments, print_left_out, print_rejections
from services.cli.progress import ProgressView
from services.cli.refusals import end_if_refused
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
from services.ingest.publishing import Source
from services.ingest.summary import Summary

app = typer.Typer(no_args_is_help=True)

_NAMED = 5
_LOOK_EVERY_S = 2.0
_RESUME = "Acknowledged records are kept; run the same command to send the rest."


@dataclass(frozen=True)
class PublishingOptions:
    """How a data set is published."""

    source: Annotated[
        Source,
        typer.Option(
            "--source",
            help="`reannotation`: the annotation team's corrections. Only their ground truth is"
            " read, and only of frames that were published before.",
        ),
    ] = Source.IMPORT
    accept_partial: AcceptPartial = False
    manifest: OptionalManifest = None


@app.callback()
def ingesting() -> None:
    """Publish a data set as events, with a progress bar; resumable, and safe to repeat.

    Publishes to the stack that `gazeloop up` runs on the data folder, or to the cluster that the
    settings name. If neither runs, the broker and stores are started temporarily, and the services
    process the events at the next `gazeloop up`.
    """


@app.command(
    "images",
    epilog=example(
        "ingest images --images drive-12/ --drive drive-12",
        "ingest images --images today/ --predictions dt/ --detector signs@4.2",
    ),
)
@with_option_groups
def images_alone(
    ctx: typer.Context,
    *,
    images: Images,
    by: TakenOptions,
    detections: DetectionOptions,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Go on with the images that arrive in the folder, until Ctrl-C."
        ),
    ] = False,
) -> None:
    """Publish a folder of images without ground truth, with a detector's results if you have them.

    Time, position and camera come from the images: EXIF, Mapillary's description, XMP.
    """
    context = shared(ctx)
    if follow and detections.predictions is not None:
        raise typer.BadParameter(
            "results are read once: publish those of new images over HTTP or Kafka",
            param_hint="--follow",
        )
    if follow:
        run(lambda: _follow(context, images, by, detections), interrupted=_RESUME)
    _ingest(context, images_opener(images, by, detections), PublishingOptions())


@app.command(
    "video",
    epilog=example(
        "ingest video drive-12.mp4 --gpx drive-12.gpx --every 10m",
        "ingest video drive-12.mp4 --every 0.5s --start 2026-05-04T10:00:00+02:00",
    ),
)
def video(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="VIDEO",
            help="The drive's video.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ],
    *,
    every: Annotated[
        str,
        typer.Option(
            "--every",
            metavar="DISTANCE",
            help="Between two frames: metres (10m) or seconds (0.5s).",
        ),
    ],
    gpx: Annotated[
        Path | None,
        typer.Option(
            "--gpx",
            metavar="FILE",
            help="The drive's track: GPX, or NMEA sentences.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    start: Annotated[
        datetime | None,
        typer.Option(
            "--start",
            metavar="TIME",
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S"],
            help="When the video begins, in UTC without an offset. Default: what the file says.",
        ),
    ] = None,
    vehicle: VehicleName = None,
    name: Name = None,
) -> None:
    """Publish frames of a drive's video, at equal distances or times.

    One video is one drive. Frames on which the vehicle stands still are left out. With a track,
    each frame has its position and heading. Needs `pip install 'gazeloop[video]'`.
    """
    context = shared(ctx)
    begin = start if start is None or start.tzinfo else start.replace(tzinfo=UTC)
    try:
        spacing = Spacing.parse(every)
    except InvalidRecord as exc:
        raise typer.BadParameter(str(exc), param_hint="--every") from exc
    with TemporaryDirectory(prefix="gazeloop-video-") as pictures:

        def opened() -> Dataset:
            track = read_track(gpx) if gpx is not None else None
            drive = open_drive(path, spacing, track=track, begin=begin)
            return read_video(drive, Path(pictures), dataset=name, vehicle=vehicle)

        _ingest(context, opened, PublishingOptions())


@app.command("coco", epilog=example("ingest coco --images street/ --ground-truth gt.json"))
@with_option_groups
def coco(
    ctx: typer.Context,
    *,
    ground_truth: GroundTruth,
    images: OptionalImages = None,
    detections: DetectionOptions,
    how: PublishingOptions,
) -> None:
    """Publish a COCO data set, with a detector's results if you have them."""
    opener = coco_opener(ground_truth, images, detections, how.manifest)
    _ingest(shared(ctx), opener, how)


@app.command("voc", epilog=example("ingest voc --images JPEGImages/ --annotations Annotations/"))
@with_option_groups
def voc(
    ctx: typer.Context,
    *,
    annotations: VocAnnotations,
    images: OptionalImages = None,
    detections: DetectionOptions,
    how: PublishingOptions,
) -> None:
    """Publish a Pascal VOC data set."""
    opener = voc_opener(annotations, images, detections, how.manifest)
    _ingest(shared(ctx), opener, how)


@app.command("via", epilog=example("ingest via --images survey/ --annotations project.json"))
@with_option_groups
def via(
    ctx: typer.Context,
    *,
    annotations: ViaProject,
    images: OptionalImages = None,
    detections: DetectionOptions,
    category_attribute: CategoryAttribute = None,
    how: PublishingOptions,
) -> None:
    """Publish a VIA 2.x data set: rectangles and polygons, the survey's own format."""
    opener = via_opener(
        annotations, images, detections, how.manifest, category_attribute=category_attribute
    )
    _ingest(shared(ctx), opener, how)


ReturnedFile = Annotated[
    Path,
    typer.Option(
        "--annotations",
        help="The file that the tool exported.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]


_CORRECTIONS = PublishingOptions(source=Source.REANNOTATION)


@app.command(
    "cvat",
    epilog=example("ingest cvat --annotations a.xml --manifest to-cvat/manifest.json"),
)
def cvat(ctx: typer.Context, *, annotations: ReturnedFile, manifest: ManifestFile) -> None:
    """Publish corrections of a `gazeloop export` from CVAT's XML (images 1.1)."""
    opener = opener_of(partial(read_cvat, annotations), manifest, "crowd", "ignore")
    _ingest(shared(ctx), opener, _CORRECTIONS)


@app.command(
    "datumaro",
    epilog=example("ingest datumaro --annotations default.json --manifest sent/manifest.json"),
)
def datumaro(ctx: typer.Context, *, annotations: ReturnedFile, manifest: ManifestFile) -> None:
    """Publish corrections of a `gazeloop export` from Datumaro's JSON."""
    opener = opener_of(partial(read_datumaro, annotations), manifest, "crowd", "ignore")
    _ingest(shared(ctx), opener, _CORRECTIONS)


@app.command("label-studio", epilog=example("ingest label-studio --annotations export.json"))
def label_studio(
    ctx: typer.Context, *, annotations: ReturnedFile, manifest: OptionalManifest = None
) -> None:
    """Publish corrections of a `gazeloop export` from Label Studio's JSON."""
    opener = opener_of(partial(read_label_studio, annotations), manifest, "crowd", "ignore")
    _ingest(shared(ctx), opener, _CORRECTIONS)


@app.command("yolo", epilog=example("ingest yolo --labels out --manifest out/manifest.json"))
def yolo(
    ctx: typer.Context,
    *,
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            help="Folder with `labels/` and `data.yaml`.",
            exists=True,
            file_okay=False,
            metavar="DIR",
        ),
    ],
    manifest: ManifestFile,
) -> None:
    """Publish corrections of a `gazeloop export` from YOLO text files."""
    opener = opener_of(partial(read_yolo, labels), manifest)
    _ingest(shared(ctx), opener, _CORRECTIONS)


def _ingest(context: Context, opener: Opener, how: PublishingOptions) -> None:
    run(lambda: _publish(context, opener, how), interrupted=_RESUME)


async def _publish(context: Context, opener: Opener, how: PublishingOptions) -> None:
    settings = context.settings()
    out = console()
    log_to_file(settings, "ingest")
    dataset = opener()
    with ProgressView(out, time.monotonic) as view:
        async with joined(settings) as stack:
            watch = LagWatch(stack, view)
            summary, _ = await publish(
                stack, dataset, watch, view, source=how.source, accept_partial=how.accept_partial
            )
            questions = stack.review("/questions")
    if not dataset.frames:
        out.print(f"[yellow]{escape(dataset.name)} lists no images: nothing to publish[/]")
    out.print(summary_text(summary, questions), highlight=False, soft_wrap=True)
    if dataset.left:
        out.print(_missing_text(sorted(dataset.left)), highlight=False, markup=False)
    print_adjustments(out, summary)
    print_rejections(out, summary)
    print_left_out(out, summary)
    end_if_refused(out, summary, how.source)


async def _follow(
    context: Context, folder: Path, by: TakenOptions, detections: DetectionOptions
) -> NoReturn:
    settings = context.settings()
    out = console()
    log_to_file(settings, "ingest")
    arrivals = Arrivals(folder)
    async with joined(settings) as stack:
        out.print(f"following {escape(str(folder))}; Ctrl-C ends it", highlight=False)
        while True:
            if files := await asyncio.to_thread(arrivals.look):
                dataset = images_opener(folder, by, detections, files)()
                with ProgressView(out, time.monotonic) as view:
                    watch = LagWatch(stack, view)
                    summary, _ = await publish(stack, dataset, watch, view)
                out.print(summary_text(summary, ""), highlight=False, soft_wrap=True)
                print_rejections(out, summary)
            await asyncio.sleep(_LOOK_EVERY_S)


def _missing_text(left: list[FrameId]) -> str:
    named = ", ".join(left[:_NAMED]) + (", …" if len(left) > _NAMED else "")
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
