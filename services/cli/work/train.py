"""What `gazeloop train` does."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
import typer

from services.annotation import exporting
from services.cli.console import console
from services.cli.context import INTERRUPTED, run, shared
from services.cli.labelled_source import Source
from services.cli.training_view import TrainingView
from services.cli.work.labelled import labelled_frames
from services.contracts.errors import InvalidSettings
from services.embedder.models.backbones import backbone_named
from services.embedder.training.choices import LabelRule, Looked, Start
from services.embedder.training.fitting import Schedule, Stopped
from services.embedder.training.labelled import examples
from services.embedder.training.recipes import recipe_of
from services.embedder.training.training_run import Course, Trained
from services.embedder.training.training_run import train as train_network
from services.runtime.settings import Settings

_RESUME = "Run the same command to continue."


def train(
    ctx: typer.Context,
    *,
    backbone: str,
    source: Source,
    looked: Looked,
    label: LabelRule,
    start: Start | None,
    epochs: int,
    batch: int,
    rate: float | None,
    patience: int,
    held_out: float,
    seed: int,
    device: Literal["auto", "cpu", "cuda"],
    precision: Literal["auto", "float32", "bfloat16"],
    to: Path | None,
) -> None:
    """Run `gazeloop train`."""
    context = shared(ctx)
    settings = context.settings()
    chosen = backbone_named(backbone)
    recipe = recipe_of(chosen)
    if start is not None:
        recipe = replace(recipe, start=start)
    if rate is not None:
        recipe = replace(recipe, rate=rate)
    where = _device(device)
    half = precision == "bfloat16" or (precision == "auto" and where == "cuda")
    course = Course(
        chosen,
        looked,
        label,
        source.name,
        recipe,
        Schedule(epochs, batch, patience, seed, half),
        held_out,
        to or settings.data / "models" / backbone,
    )
    if settings.embedder != backbone:  # its weights are another network's
        settings = settings.model_copy(update={"weights": None, "weights_sha256": ""})
    _print_result(_trained(course, source, settings, where, ctx))


def _device(requested: str) -> str:
    has_gpu = torch.cuda.is_available()
    if requested == "cuda" and not has_gpu:
        raise InvalidSettings("torch finds no usable GPU: leave --device out")
    return "cuda" if has_gpu and requested != "cpu" else "cpu"


def _trained(
    course: Course, source: Source, settings: Settings, where: str, ctx: typer.Context
) -> Trained:
    frames = run(
        lambda: labelled_frames(source, shared(ctx), exporting.training_frames),
        interrupted=_RESUME,
    )
    chosen = examples(frames, course.looked, course.rule)
    torch.set_num_threads(settings.torch_threads)
    with TrainingView(console(stderr=True), course, len(chosen)) as view:
        try:
            return train_network(course, chosen, settings, torch.device(where), view)
        except Stopped:
            view.close()
            console(stderr=True).print(f"Stopped. {_RESUME}", highlight=False)
            raise typer.Exit(INTERRUPTED) from None


def _print_result(trained: Trained) -> None:
    out = console()
    metrics = trained.card["metrics"]
    assert isinstance(metrics, dict)
    out.print("It is trained already." if trained.before else "Trained.", highlight=False)
    for name, label in (("precision_at_1", "P@1"), ("map_at_100", "mAP@100")):
        after = metrics[f"{name}_on_held_out_drives"]
        out.print(
            f"{label} on drives held out: {after:.3f} (before: {metrics[f'{name}_before']:.3f})",
            highlight=False,
        )
    out.print(
        f"{trained.weights}, with its model card in the same folder",
        highlight=False,
        soft_wrap=True,
    )
    out.print(
        f"[dim]Use it: --set embedder={trained.card['name']} --set weights={trained.weights}[/]",
        highlight=False,
        soft_wrap=True,
    )
    if not metrics["best_epoch"]:
        out.print(
            "[yellow]No epoch was better than the start, which is what was kept.[/] Try a lower"
            " --rate, or more frames.",
            highlight=False,
        )
    if metrics["collapsed"]:
        out.print(
            f"[bold red]The embedding has collapsed:[/] {metrics['collapsed']}. A search would"
            " find anything: try a lower --rate, or another --seed or --pooling.",
            highlight=False,
        )
        raise typer.Exit(1)
