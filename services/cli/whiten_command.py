"""`gazeloop whiten`: add a PCA whitening, fitted on the user's own frames, to the weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli.context import console, run, shared
from services.cli.labelled_source import (
    CocoFile,
    ImagesFolder,
    LookedAt,
    Source,
    ViaFile,
    VocFolder,
)

if TYPE_CHECKING:
    from services.embedder.training.labelled import Example
    from services.runtime.settings import Settings


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
    images: ImagesFolder = None,
    coco: CocoFile = None,
    voc: VocFolder = None,
    via: ViaFile = None,
    looked: LookedAt = "crops",
) -> None:
    """Fit a PCA whitening to the configured embedder, and write its weights with the whitening.

    Whitening reduces the weight of directions that all vectors share, and the vectors' dimension.
    It is valid for the configured pooling; set `embedder`, `weights` and `pooling` with --set.
    """
    from services.annotation import exporting  # noqa: PLC0415  # slow
    from services.cli.labelled_source import labelled_frames  # noqa: PLC0415
    from services.embedder.training.labelled import LabelRule, Looked, examples  # noqa: PLC0415

    if to.suffix != ".safetensors":
        raise typer.BadParameter("the file must end in .safetensors", param_hint="--to")
    context = shared(ctx)
    frames = run(
        lambda: labelled_frames(Source(images, coco, voc, via), context, exporting.training_frames),
        interrupted="Nothing was written.",
    )
    chosen = examples(frames, Looked(looked), LabelRule.MOST_FREQUENT)
    card = _written(context.settings(), chosen, dimensions, to)
    out = console()
    out.print(f"{to}, with its card {card.name} beside it", highlight=False, soft_wrap=True)
    out.print(
        f"[dim]Use it: --set embedder={context.settings().embedder} --set weights={to}[/]",
        highlight=False,
        soft_wrap=True,
    )


def _written(settings: "Settings", chosen: "list[Example]", dimensions: int, to: Path) -> Path:
    from services.embedder.training.whitened import write_whitened  # noqa: PLC0415  # slow

    columns = TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(), transient=True) as bars:
        task = bars.add_task("embedding", total=len(chosen))
        return write_whitened(
            settings, chosen, dimensions, to, lambda count: bars.advance(task, count)
        )
