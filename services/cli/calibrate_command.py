"""`gazeloop calibrate`: quantise the embedder to 8 bits, calibrated on the user's own frames."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.annotation import exporting
from services.cli.console import console
from services.cli.context import example, run, shared
from services.cli.labelled_source import (
    Source,
    labelled_frames,
)
from services.cli.option_groups import with_option_groups
from services.embedder.training.calibration import Calibrated, Plan, looks, write_calibrated
from services.embedder.training.labelled import LabelledFrame
from services.runtime.settings import Settings

app = typer.Typer()

_SUFFIX = ".int8"


@app.command(
    "calibrate",
    epilog=example("--set embedder=resnet18 calibrate --coco gt.json --images DIR --to r18.int8"),
)
@with_option_groups
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
    if to.suffix != _SUFFIX:
        raise typer.BadParameter(f"the file must end in {_SUFFIX}", param_hint="--to")
    context = shared(ctx)
    frames = run(
        lambda: labelled_frames(source, context, exporting.training_frames),
        interrupted="Nothing was written.",
    )
    settings = context.settings()
    _tell(_written(settings, frames, Plan(source.name, most, held_out, seed), to), settings, to)


def _written(settings: Settings, frames: list[LabelledFrame], plan: Plan, to: Path) -> Calibrated:

    columns = TextColumn("looking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(), transient=True) as bars:
        task = bars.add_task("looking", total=looks(frames, plan))
        return write_calibrated(settings, frames, plan, to, lambda count: bars.advance(task, count))


def _tell(made: Calibrated, settings: Settings, to: Path) -> None:
    out, measured = console(), made.card.measured
    for what, cosines in (("frames", measured.frames), ("regions", measured.regions)):
        out.print(
            f"cosine to full precision, {cosines.count:,} {what} held out: least"
            f" {cosines.least:.4f}, mean {cosines.mean:.4f}",
            highlight=False,
            soft_wrap=True,
        )
    out.print(
        f"mAP@100 of {measured.queries:,} regions: {measured.map_after:.3f} (in full precision"
        f" {measured.map_before:.3f})",
        highlight=False,
        soft_wrap=True,
    )
    out.print(f"{to}, with its model card in the same folder", highlight=False, soft_wrap=True)
    out.print(
        f"[dim]Use it: --set embedder={settings.embedder} --set embed_precision=int8"
        f" --set embed_int8={to}\nIts sha256, for GAZELOOP_EMBED_INT8_SHA256: {made.sha256}[/]",
        highlight=False,
        soft_wrap=True,
    )
