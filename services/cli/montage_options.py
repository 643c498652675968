"""Options of commands that draw montages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from services.app.drawn_pictures import montage_folder

DEFAULT_MONTAGES = 24
"""As many as a person would look through; drawing takes about five seconds."""


@dataclass(frozen=True)
class MontagePlan:
    """The output folder of montages, and their maximum number."""

    folder: Path
    most: int


@dataclass(frozen=True)
class MontageOptions:
    """The number of montages, and their output folder."""

    montages: Annotated[
        int,
        typer.Option(
            "--montages",
            min=0,
            help="Maximum number of montages, one per needle with a shortlist; 0 draws none.",
        ),
    ] = DEFAULT_MONTAGES
    montage_folder: Annotated[
        Path | None,
        typer.Option(
            "--montage-folder",
            help="Output folder of montages; default: `montages` in the data folder.",
            file_okay=False,
            metavar="DIR",
        ),
    ] = None

    def plan(self, data: Path) -> MontagePlan:
        """What to draw, and where to: by default, into the data folder."""
        return MontagePlan(self.montage_folder or montage_folder(data), self.montages)
