"""Options of commands that draw montages: their number and output folder."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_MONTAGES = 24
"""As many as a person would look through; drawing takes about five seconds."""

Montages = Annotated[
    int,
    typer.Option(
        "--montages",
        min=0,
        help="Maximum number of montages, one per needle with a shortlist; 0 draws none.",
    ),
]
MontageFolder = Annotated[
    Path | None,
    typer.Option(
        "--montage-folder",
        help="Output folder of montages; default: `montages` in the data folder.",
        file_okay=False,
        metavar="DIR",
    ),
]
