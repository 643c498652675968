"""How many montages, and where: the options of all commands that draw them."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_MONTAGES = 24
"""As many as a person looks through; about five seconds of drawing."""

Montages = Annotated[
    int,
    typer.Option(
        "--montages", min=0, help="Most montages to draw, one per needle with a shortlist; 0: none."
    ),
]
MontageFolder = Annotated[
    Path | None,
    typer.Option(
        "--montage-folder",
        help="Where montages go; default: `montages` in the data folder.",
        file_okay=False,
        metavar="DIR",
    ),
]
