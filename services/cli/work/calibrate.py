"""What `gazeloop calibrate` does."""

from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.annotation import exporting
from services.cli.console import console
from services.cli.context import run, shared
from services.cli.labelled_source import Source
from services.cli.work.labelled import labelled_frames
from services.embedder.training.calibration import Calibrated, Plan, looks, write_calibrated
from services.embedder.training.labelled import LabelledFrame
from services.runtime.settings import Settings

_SUFFIX = ".int8"


def calibrate(
    ctx: typer.Context, *, to: Path, source: Source, most: int, held_out: float, seed: int
) -> None:
    """Run `gazeloop calibrate`."""
    if to.suffix != _SUFFIX:
        raise typer.BadParameter(f"the file must end in {_SUFFIX}", param_hint="--to")
    context = shared(ctx)
    frames = run(
        lambda: labelled_frames(source, context, exporting.training_frames),
        interrupted="Nothing was written.",
    )
    settings = context.settings()
    _print_result(
        _written(settings, frames, Plan(source.name, most, held_out, seed), to), settings, to
    )


def _written(settings: Settings, frames: list[LabelledFrame], plan: Plan, to: Path) -> Calibrated:
    columns = TextColumn("looking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        task = bars.add_task("looking", total=looks(frames, plan))
        return write_calibrated(settings, frames, plan, to, lambda count: bars.advance(task, count))


def _print_result(calibrated: Calibrated, settings: Settings, to: Path) -> None:
    out, measured = console(), calibrated.card.measured
    for name, cosines in (("frames", measured.frames), ("regions", measured.regions)):
        out.print(
            f"cosine to full precision, {cosines.count:,} {name} held out: least"
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
        f"Use it: --set embedder={settings.embedder} --set embed_precision=int8"
        f" --set embed_int8={to}\n"
        f"Its sha256, for GAZELOOP_EMBED_INT8_SHA256: {calibrated.sha256}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
