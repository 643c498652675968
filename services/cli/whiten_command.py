"""`gazeloop whiten`: weights with a PCA whitening that is fitted on one's own frames."""

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
        typer.Option("--to", dir_okay=False, metavar="FILE", help="Weights, as safetensors."),
    ],
    dimensions: Annotated[
        int, typer.Option("--dimensions", min=2, help="Directions that are kept.")
    ] = 128,
    images: ImagesFolder = None,
    coco: CocoFile = None,
    voc: VocFolder = None,
    via: ViaFile = None,
    looked: LookedAt = "crops",
) -> None:
    """Fit a PCA whitening to the embedder that is set, and write its weights with it.

    Directions that all vectors share weigh less, and vectors get shorter. It holds for the
    pooling that is set; `embedder`, `weights` and `pooling` are chosen with --set.
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
