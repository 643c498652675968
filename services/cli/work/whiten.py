"""What `gazeloop whiten` does."""

from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.annotation import exporting
from services.cli.console import console
from services.cli.context import run, shared
from services.cli.labelled_source import Source
from services.cli.work.labelled import labelled_frames
from services.embedder.training.choices import LabelRule, Looked
from services.embedder.training.labelled import Example, examples
from services.embedder.training.whitened import write_whitened
from services.runtime.settings import Settings


def whiten(
    ctx: typer.Context, *, to: Path, dimensions: int, source: Source, looked: Looked
) -> None:
    """Run `gazeloop whiten`."""
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
        f"Use it: --set embedder={context.settings().embedder} --set weights={to}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def _written(settings: Settings, chosen: list[Example], dimensions: int, to: Path) -> Path:
    columns = TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        task = bars.add_task("embedding", total=len(chosen))
        return write_whitened(
            settings, chosen, dimensions, to, lambda count: bars.advance(task, count)
        )
