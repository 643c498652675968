"""`gazeloop sample`: draw frames with known probabilities, and estimate figures from them."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.lazy import done_by

app = typer.Typer(no_args_is_help=True)


@app.callback()
def sample() -> None:
    """Estimate AP, precision and recall of the haystack from frames drawn by chance."""


@app.command(
    "draw",
    epilog=example("sample draw --detector ods@1 --frames 200 --campaign june > june.json"),
)
@done_by("services.cli.work.sample")
def draw(
    ctx: typer.Context,
    *,
    detector: Annotated[
        str, typer.Option("--detector", metavar="NAME@VERSION", help="The detector to judge.")
    ],
    frames: Annotated[
        int, typer.Option("--frames", min=1, help="Expected number of drawn frames.")
    ],
    campaign: Annotated[
        str,
        typer.Option(
            "--campaign",
            metavar="NAME",
            help="The same name draws the same frames; another name, others.",
        ),
    ],
) -> None:
    """Print, as JSON, haystack frames to annotate, each with the probability of being drawn.

    `gazeloop imports list` shows the campaign's id, with which `gazeloop undo` takes it back.
    """


@app.command("estimate", epilog=example("sample estimate june.json"))
@done_by("services.cli.work.sample")
def estimate(
    ctx: typer.Context,
    *,
    drawn: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="What `sample draw` printed.", exists=True, dir_okay=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print figures of the whole haystack, next to the naive ones of all annotated frames.

    Frames on shortlists represent themselves, drawn frames all others.
    """
