"""`gazeloop ingest`: publish a data set as events for the services."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.datasets import (
    AcceptPartial,
    CategoryAttribute,
    DataSet,
    DetectionOptions,
    GroundTruth,
    Images,
    LayoutOptions,
    ManifestFile,
    Name,
    OptionalImages,
    OptionalManifest,
    TakenOptions,
    VehicleName,
    ViaProject,
    VocAnnotations,
)
from services.cli.examples import example
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups
from services.ingest.source import Source

app = typer.Typer(no_args_is_help=True)


@dataclass(frozen=True)
class PublishingOptions:
    """How a data set is published."""

    source: Annotated[
        Source,
        typer.Option(
            "--source",
            help="`reannotation`: the annotation team's corrections. Only their ground truth is"
            " read, and only of frames that were published before: no results, no tags.",
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
@done_by("services.cli.work.ingest")
def images_alone(
    ctx: typer.Context,
    *,
    images: Images,
    by: TakenOptions,
    detections: DetectionOptions,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Then publish images as they arrive in the folder, until Ctrl-C."
        ),
    ] = False,
) -> None:
    """Publish a folder of images without ground truth, with a detector's results if you have them.

    Time, position and camera come from the images: EXIF, Mapillary's description, XMP.
    """


@dataclass(frozen=True)
class VideoOptions:
    """Which frames of a video are published, and where and when they were captured."""

    every: Annotated[
        str,
        typer.Option(
            "--every",
            metavar="DISTANCE",
            help="Between two frames: metres (10m) or seconds (0.5s).",
        ),
    ]
    gpx: Annotated[
        Path | None,
        typer.Option(
            "--gpx",
            metavar="FILE",
            help="The drive's track: GPX, or NMEA sentences.",
            exists=True,
            dir_okay=False,
        ),
    ] = None
    start: Annotated[
        datetime | None,
        typer.Option(
            "--start",
            metavar="TIME",
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S"],
            help="When the video begins, in UTC without an offset. Default: what the file says.",
        ),
    ] = None


@app.command(
    "video",
    epilog=example(
        "ingest video drive-12.mp4 --gpx drive-12.gpx --every 10m",
        "ingest video drive-12.mp4 --every 0.5s --start 2026-05-04T10:00:00+02:00",
    ),
)
@with_option_groups
@done_by("services.cli.work.ingest")
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
    frames: VideoOptions,
    vehicle: VehicleName = None,
    name: Name = None,
) -> None:
    """Publish frames of a drive's video, at equal distances or times.

    One video is one drive. Frames on which the vehicle stands still are left out. With a track,
    each frame has its position and heading. Needs `pip install 'gazeloop[video]'`.
    """


@app.command("coco", epilog=example("ingest coco --images street/ --ground-truth gt.json"))
@with_option_groups
@done_by("services.cli.work.ingest")
def coco(
    ctx: typer.Context,
    *,
    ground_truth: GroundTruth,
    images: OptionalImages = None,
    detections: DetectionOptions,
    how: PublishingOptions,
) -> None:
    """Publish a COCO data set, with a detector's results if you have them."""


@app.command("voc", epilog=example("ingest voc --images JPEGImages/ --annotations Annotations/"))
@with_option_groups
@done_by("services.cli.work.ingest")
def voc(
    ctx: typer.Context,
    *,
    annotations: VocAnnotations,
    images: OptionalImages = None,
    detections: DetectionOptions,
    how: PublishingOptions,
) -> None:
    """Publish a Pascal VOC data set."""


@app.command("via", epilog=example("ingest via --images survey/ --annotations project.json"))
@with_option_groups
@done_by("services.cli.work.ingest")
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


@app.command("auto", epilog=example("ingest auto survey/", "ingest auto export.zip --format cvat"))
@with_option_groups
@done_by("services.cli.work.ingest")
def auto(
    ctx: typer.Context,
    path: DataSet,
    *,
    where: LayoutOptions,
    by: TakenOptions,
    detections: DetectionOptions,
    accept_partial: AcceptPartial = False,
) -> None:
    """Publish a folder or zip file in one of twelve formats, and print which it is."""


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


@app.command(
    "cvat",
    epilog=example("ingest cvat --annotations a.xml --manifest to-cvat/manifest.json"),
)
@done_by("services.cli.work.ingest")
def cvat(ctx: typer.Context, *, annotations: ReturnedFile, manifest: ManifestFile) -> None:
    """Publish corrections of a `gazeloop export` from CVAT's XML (images 1.1)."""


@app.command(
    "datumaro",
    epilog=example("ingest datumaro --annotations default.json --manifest sent/manifest.json"),
)
@done_by("services.cli.work.ingest")
def datumaro(ctx: typer.Context, *, annotations: ReturnedFile, manifest: ManifestFile) -> None:
    """Publish corrections of a `gazeloop export` from Datumaro's JSON."""


@app.command("label-studio", epilog=example("ingest label-studio --annotations export.json"))
@done_by("services.cli.work.ingest")
def label_studio(
    ctx: typer.Context, *, annotations: ReturnedFile, manifest: OptionalManifest = None
) -> None:
    """Publish corrections of a `gazeloop export` from Label Studio's JSON."""


@app.command("yolo", epilog=example("ingest yolo --labels out --manifest out/manifest.json"))
@done_by("services.cli.work.ingest")
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
