"""Data sets as command options."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from services.contracts.errors import InvalidRecord
from services.contracts.events import IouType
from services.formats.items import Detector
from services.formats.layout_names import LAYOUTS, LayoutName
from services.formats.readers.detections.format_names import DESCRIPTIONS, FormatName

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
        " drive_id, captured_at, lat, lon, heading, tags.",
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
        help="The detector's results: COCO (image_id, category_id, bbox, score), or another format"
        " of --predictions-format; a file, or a folder with one per image.",
        exists=True,
        metavar="PATH",
    ),
]
PredictionsFormat = Annotated[
    FormatName,
    typer.Option(
        "--predictions-format",
        help="The format of the results; `auto` detects it, if it is unambiguous. "
        + ". ".join(f"`{name}`: {description}" for name, description in DESCRIPTIONS.items())
        + ".",
        metavar="NAME",
    ),
]
ClassNamesFile = Annotated[
    Path | None,
    typer.Option(
        "--class-names",
        help="Names of the detector's classes: data.yaml, or a text file with a name per line."
        " Default for yolo-txt and mmdetection: data.yaml, dataset.yaml, classes.txt or obj.names"
        " beside the results.",
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
IouTypeOption = Annotated[
    IouType,
    typer.Option(
        "--iou-type",
        help="What the detector's results are matched by: boxes, or the masks of COCO results"
        " (`segmentation`). The same for all imports of a detector version.",
        metavar="bbox|segm",
    ),
]
CategoriesFile = Annotated[
    Path | None,
    typer.Option(
        "--categories",
        help="Map of the detector's category names to those of the ground truth, as JSON:"
        ' `{"stop_sign": "stop sign", "person": null}`; null ignores a name. It is stored for this'
        " detector version: see `gazeloop categories`.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", help="Prefix of every frame id, so that data sets never collide.", metavar="TEXT"
    ),
]
VehicleName = Annotated[
    str | None,
    typer.Option("--vehicle", help="The vehicle. Default: the data set's name.", metavar="ID"),
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


TagsFile = Annotated[
    Path | None,
    typer.Option(
        "--tags",
        help="CSV file with tags of the images: a column `file_name`, and one per key.",
        exists=True,
        dir_okay=False,
        metavar="FILE",
    ),
]

_OF_RESULTS = frozenset({"predictions_format", "class_names", "detector", "iou_type", "categories"})
"""Options of `DetectionOptions` that say nothing without results."""


@dataclass(frozen=True)
class DetectionOptions:
    """A detector's results on a data set, its images' tags, and the data set's name.

    Raises
    ------
    typer.BadParameter
        There are results without a detector, or options of results without them, or the detector's
        name is none.
    """

    predictions: Predictions = None
    predictions_format: PredictionsFormat = FormatName.AUTO
    class_names: ClassNamesFile = None
    detector: DetectorName = None
    iou_type: IouTypeOption = "bbox"
    categories: CategoriesFile = None
    tags: TagsFile = None
    name: Name = None

    def __post_init__(self) -> None:
        if self.predictions is not None and self.detector is None:
            raise typer.BadParameter(
                "name the detector that made these results", param_hint="--detector"
            )
        if self.predictions is None:
            self._require_no_option_of_results()
        try:
            self.made_by()
        except InvalidRecord as exc:
            raise typer.BadParameter(str(exc), param_hint="--detector") from exc

    def _require_no_option_of_results(self) -> None:
        options = [
            f"--{option.name.replace('_', '-')}"
            for option in fields(self)
            if option.name in _OF_RESULTS and getattr(self, option.name) != option.default
        ]
        if options:
            raise typer.BadParameter(
                "about a detector's results: give them with --predictions, or leave this out",
                param_hint=", ".join(options),
            )

    def made_by(self) -> Detector | None:
        """The detector, if there are results."""
        if self.detector is None:
            return None
        return Detector.parse(self.detector)._replace(iou_type=self.iou_type)


DataSet = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="Folder or zip file with the images and their annotations.",
        exists=True,
        show_default=False,
    ),
]


@dataclass(frozen=True)
class LayoutOptions:
    """Where a data set's parts are, and their format."""

    format: Annotated[
        LayoutName,
        typer.Option(
            "--format",
            help="The format of the annotations; `auto` detects it, if it is unambiguous. "
            + ". ".join(f"`{name}`: {description}" for name, description in LAYOUTS.items())
            + ".",
            metavar="NAME",
        ),
    ] = LayoutName.AUTO
    annotations: Annotated[
        str | None,
        typer.Option(
            "--annotations",
            help="File or folder of the annotations in PATH. Default: PATH.",
            metavar="NAME",
        ),
    ] = None
    images: Annotated[
        str | None,
        typer.Option(
            "--images", help="Folder of the images in PATH. Default: PATH.", metavar="NAME"
        ),
    ] = None


@dataclass(frozen=True)
class TakenOptions:
    """Who took the images of a folder."""

    vehicle: VehicleName = None
    drive: Annotated[
        str | None, typer.Option("--drive", help="The drive of all images.", metavar="ID")
    ] = None
    drive_per_folder: Annotated[
        bool, typer.Option("--drive-per-folder", help="Each subfolder is a drive.")
    ] = False

    def __post_init__(self) -> None:
        if self.drive is not None and self.drive_per_folder:
            raise typer.BadParameter(
                "leave it out, or leave out --drive", param_hint="--drive-per-folder"
            )
