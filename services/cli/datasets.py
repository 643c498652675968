"""Data sets as command options, and the functions that open them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from services.contracts.errors import InvalidRecord
from services.formats.items import Dataset, Detector
from services.formats.readers.coco import read_coco
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest
from services.formats.readers.via import read_via
from services.formats.readers.voc import read_voc

Opener = Callable[[], Dataset]
"""Opens a data set; called once, after everything else is ready."""

Images = Annotated[
    Path,
    typer.Option(
        "--images", help="Folder of the images.", exists=True, file_okay=False, metavar="DIR"
    ),
]
OptionalImages = Annotated[
    Path | None,
    typer.Option(
        "--images",
        help="Folder of the images; leave it out to publish only annotations and detections of"
        " known frames.",
        exists=True,
        file_okay=False,
        metavar="DIR",
    ),
]
GroundTruth = Annotated[
    Path,
    typer.Option(
        "--ground-truth",
        help="COCO instances: images, annotations, categories. Images may carry vehicle_id,"
        " drive_id, captured_at, lat, lon, heading.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]
VocAnnotations = Annotated[
    Path,
    typer.Option(
        "--annotations",
        help="Folder of the VOC XML files, one per image.",
        exists=True,
        file_okay=False,
        metavar="DIR",
    ),
]
ViaProject = Annotated[
    Path,
    typer.Option(
        "--annotations",
        help="VIA 2.x JSON: a project, or its exported annotations.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]
CategoryAttribute = Annotated[
    str | None,
    typer.Option(
        "--category-attribute",
        help="The region attribute that holds the category; needed only if it is ambiguous.",
        metavar="NAME",
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(
        "--predictions",
        help="The detector's results in COCO format: image_id, category_id, bbox, score.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]
DetectorName = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help="The detector that made the results, as `NAME@VERSION`.",
        metavar="NAME@VERSION",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", help="Prefix of every frame id, so that data sets never collide.", metavar="TEXT"
    ),
]
AcceptPartial = Annotated[
    bool,
    typer.Option(
        "--accept-partial",
        help="Count frames although annotations or detections of theirs were refused: what is"
        " missing is then taken as not there.",
    ),
]
ManifestFile = Annotated[
    Path,
    typer.Option(
        "--manifest",
        help="`manifest.json` of the export that it began with.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]
OptionalManifest = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        help="`manifest.json` of the export that corrections began with: names frames by their"
        " files where the tool has dropped their ids, and keeps what the tool cannot say.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]


def returned_opener(read: Callable[[Manifest], Dataset], manifest: Path, *says: str) -> Opener:
    """Return a function that opens a tool's corrections, with the manifest of the export.

    Parameters
    ----------
    says : the annotation fields that the format carries in addition to the box
    """

    def opener() -> Dataset:

        sent = Manifest.read(manifest)
        return restored(read(sent), sent, says)

    return opener


def detector_of(name: str | None, predictions: Path | None) -> Detector | None:
    """The detector that the options name; required with predictions, refused without."""
    if predictions is not None and name is None:
        raise typer.BadParameter(
            "name the detector that made these results", param_hint="--detector"
        )
    if name is None:
        return None
    if predictions is None:
        raise typer.BadParameter("results of this detector are missing", param_hint="--predictions")
    try:
        return Detector.parse(name)
    except InvalidRecord as exc:
        raise typer.BadParameter(str(exc), param_hint="--detector") from exc


def coco_opener(
    ground_truth: Path,
    images: Path | None,
    predictions: Path | None,
    detector: str | None,
    name: str | None,
    *,
    manifest: Path | None = None,
) -> Opener:
    """Return a function that opens a COCO data set."""
    whose = detector_of(detector, predictions)

    def read(sent: Manifest | None = None) -> Dataset:

        return read_coco(
            ground_truth,
            images=images,
            predictions=predictions,
            detector=whose,
            dataset=name,
            sent=sent,
        )

    return (
        read
        if manifest is None
        else returned_opener(read, manifest, "area", "crowd", "ignore", "mask")
    )


def voc_opener(
    annotations: Path,
    images: Path | None,
    predictions: Path | None,
    detector: str | None,
    name: str | None,
    *,
    manifest: Path | None = None,
) -> Opener:
    """Return a function that opens a VOC data set."""
    whose = detector_of(detector, predictions)

    def read(sent: Manifest | None = None) -> Dataset:

        return read_voc(
            annotations,
            images=images,
            predictions=predictions,
            detector=whose,
            dataset=name,
            sent=sent,
        )

    return read if manifest is None else returned_opener(read, manifest, "crowd", "ignore")


def via_opener(
    annotations: Path,
    images: Path | None,
    predictions: Path | None,
    detector: str | None,
    name: str | None,
    *,
    category_attribute: str | None,
    manifest: Path | None = None,
) -> Opener:
    """Return a function that opens a VIA data set."""
    whose = detector_of(detector, predictions)

    def read(sent: Manifest | None = None) -> Dataset:

        return read_via(
            annotations,
            images=images,
            predictions=predictions,
            detector=whose,
            dataset=name,
            sent=sent,
            category_attribute=category_attribute,
        )

    return read if manifest is None else returned_opener(read, manifest, "area", "mask")
