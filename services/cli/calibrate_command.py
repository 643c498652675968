"""`gazeloop calibrate`: quantise the embedder to 8 bits, calibrated on the user's own frames."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.labelled_source import Source
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups

app = typer.Typer()


@app.command(
    "calibrate",
    epilog=example("--set embedder=resnet18 calibrate --coco gt.json --images DIR --to r18.int8"),
)
@with_option_groups
@done_by("services.cli.work.calibrate")
def calibrate(
    ctx: typer.Context,
    *,
    to: Annotated[
        Path,
        typer.Option("--to", dir_okay=False, metavar="FILE", help="Output file, ending in .int8."),
    ],
    source: Source,
    most: Annotated[
        int, typer.Option("--frames", min=4, help="Maximum number of frames, chosen at random.")
    ] = 200,
    held_out: Annotated[
        float,
        typer.Option(
            "--held-out",
            min=0.1,
            max=0.9,
            help="Share of drives (frames, if drives are unknown) to measure on.",
        ),
    ] = 0.5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
) -> None:
    """Quantise the configured embedder to 8-bit integers, which many CPUs compute faster.

    Calibrates on some drives and measures on others. Writes nothing if a vector's cosine to full
    precision is below .998, or if mAP drops by more than half a point. The result is valid for the
    configured embedder, weights and pooling. Needs `pip install 'gazeloop[int8]'`; the services
    do not.
    """
