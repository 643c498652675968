"""Options for the annotated frames of trainings and benchmarks: their source and their use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.embedder.training.choices import LabelRule, Looked

LookedAt = Annotated[
    Looked,
    typer.Option("--of", help="Use annotated objects, or whole frames."),
]


@dataclass(frozen=True)
class Source:
    """Where annotated frames come from: without options, from the data folder.

    Raises
    ------
    typer.BadParameter
        Several data sets are named, or images without annotations, or the reverse.
    """

    images: Annotated[
        Path | None,
        typer.Option(
            "--images", help="Folder of the images.", exists=True, file_okay=False, metavar="DIR"
        ),
    ] = None
    coco: Annotated[
        Path | None,
        typer.Option(
            "--coco",
            help="COCO instances; with --images. Without --coco, --voc and --via: the annotated"
            " frames of the data folder.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None
    voc: Annotated[
        Path | None,
        typer.Option(
            "--voc",
            help="Folder of VOC XML files; with --images.",
            exists=True,
            file_okay=False,
            metavar="DIR",
        ),
    ] = None
    via: Annotated[
        Path | None,
        typer.Option(
            "--via",
            help="VIA 2.x JSON; with --images.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None

    def __post_init__(self) -> None:
        paths = [path for path in (self.coco, self.voc, self.via) if path is not None]
        if len(paths) > 1:
            raise typer.BadParameter("name one data set: --coco, --voc or --via")
        if paths and self.images is None:
            raise typer.BadParameter("name the folder of its images", param_hint="--images")
        if self.images is not None and not paths:
            raise typer.BadParameter("name its annotations: --coco, --voc or --via")

    @property
    def name(self) -> str:
        """The source's name in tables and model cards."""
        path = self.coco or self.voc or self.via
        return path.stem if path else "data folder"


@dataclass(frozen=True)
class ExampleOptions:
    """What becomes an example: each object, or each frame with a label."""

    looked: LookedAt = Looked.CROPS
    label: Annotated[
        LabelRule,
        typer.Option("--label", help="The object category that becomes a whole frame's label."),
    ] = LabelRule.MOST_FREQUENT
