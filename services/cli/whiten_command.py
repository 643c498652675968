"""`gazeloop whiten`: add a PCA whitening, fitted on the user's own frames, to the weights."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.examples import example
from services.cli.labelled_source import LookedAt, Source
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups
from services.embedder.training.choices import Looked

app = typer.Typer()


@app.command(
    "whiten",
    epilog=example("--set embedder=resnet18 whiten --coco gt.json --images DIR --to w.safetensors"),
)
@with_option_groups
@done_by("services.cli.work.whiten")
def whiten(
    ctx: typer.Context,
    *,
    to: Annotated[
        Path,
        typer.Option(
            "--to", dir_okay=False, metavar="FILE", help="Output weights, as safetensors."
        ),
    ],
    dimensions: Annotated[
        int, typer.Option("--dimensions", min=2, help="Number of principal components to keep.")
    ] = 128,
    source: Source,
    looked: LookedAt = Looked.CROPS,
) -> None:
    """Fit a PCA whitening to the configured embedder, and write its weights with the whitening.

    Whitening reduces the weight of directions that all vectors share, and the vectors' dimension.
    It is valid for the configured pooling; set `embedder`, `weights` and `pooling` with --set.
    """
