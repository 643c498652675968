"""`gazeloop whiten`: add a PCA whitening, fitted on the user's own frames, to the weights."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.annotation import exporting
from services.cli.console import console
from services.cli.context import example, run, shared
from services.cli.labelled_source import (
    LookedAt,
    Source,
    labelled_frames,
)
from services.cli.option_groups import with_option_groups
from services.embedder.training.labelled import Example, LabelRule, Looked, examples
from services.embedder.training.whitened import write_whitened
from services.runtime.settings import Settings

app = typer.Typer()


@app.command(
    "whiten",
    epilog=example("--set embedder=resnet18 whiten --coco gt.json --images DIR --to w.safetensors"),
)
@with_option_groups
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
    if to.suffix != ".safetensors":
        raise typer.BadParameter("the file must end in .safetensors", param_hint="--to")
    context = shared(ctx)
    frames = run(
        lambda: labelled_frames(source, context, exporting.training_frames),
        interrupted="Nothing was written.",
    )
    chosen = examples(frames, looked, LabelRule.MOST_FREQUENT)
    card = _written(context.settings(), chosen, dimensions, to)
    out = console()
    out.print(f"{to}, with its card {card.name} beside it", highlight=False, soft_wrap=True)
    out.print(
        f"[dim]Use it: --set embedder={context.settings().embedder} --set weights={to}[/]",
        highlight=False,
        soft_wrap=True,
    )


def _written(settings: Settings, chosen: list[Example], dimensions: int, to: Path) -> Path:

    columns = TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(), transient=True) as bars:
        task = bars.add_task("embedding", total=len(chosen))
        return write_whitened(
            settings, chosen, dimensions, to, lambda count: bars.advance(task, count)
        )
