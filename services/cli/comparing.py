"""Two detector versions as command options."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.datasets import AcceptPartial, IouTypeOption

Old = Annotated[
    str,
    typer.Argument(
        metavar="OLD", help="The old version: NAME@VERSION, or with --ground-truth its results."
    ),
]
New = Annotated[str, typer.Argument(metavar="NEW", help="The new version, in the same form.")]


class FramesOption(StrEnum):
    """Frames to compare on."""

    REFERENCE = "reference"
    ALL = "all"


@dataclass(frozen=True)
class CompareOptions:
    """What two versions are compared on."""

    ground_truth: Annotated[
        Path | None,
        typer.Option(
            "--ground-truth",
            help="COCO instances: OLD and NEW are then files of results, in any format of"
            " `gazeloop evaluate`, and nothing stored is read.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None
    frames: Annotated[
        FramesOption,
        typer.Option(
            "--frames",
            help="Compare on reference frames, which no training set contains, or on all frames.",
        ),
    ] = FramesOption.REFERENCE
    iou_type: IouTypeOption = "bbox"
    accept_partial: AcceptPartial = False
