"""What `gazeloop train` does."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import typer

from services.annotation import exporting
from services.cli.console import console, styled
from services.cli.context import INTERRUPTED, run, shared
from services.cli.labelled_source import ExampleOptions, Source
from services.cli.train_command import DeviceOptions, ScheduleOptions
from services.cli.training_view import TrainingView
from services.cli.work.labelled import labelled_frames
from services.contracts.errors import InvalidSettings
from services.embedder.models.backbones import Backbone, backbone_named
from services.embedder.training.choices import Start
from services.embedder.training.fitting import Schedule, Stopped
from services.embedder.training.labelled import examples
from services.embedder.training.recipes import Recipe, recipe_of
from services.embedder.training.training_run import Course, Trained
from services.embedder.training.training_run import train as train_network
from services.runtime.settings import Settings

_RESUME = "Run the same command to continue."


def train(
    ctx: typer.Context,
    *,
    backbone: str,
    source: Source,
    examples: ExampleOptions,
    start: Start | None,
    schedule: ScheduleOptions,
    device: DeviceOptions,
    to: Path | None,
) -> None:
    """Run `gazeloop train`."""
    settings = shared(ctx).settings()
    chosen, computed_on = backbone_named(backbone), _device(device.device)
    course = Course(
        chosen,
        examples.looked,
        examples.label,
        source.name,
        _recipe(chosen, start, schedule.rate),
        Schedule(
            schedule.epochs,
            schedule.batch,
            schedule.patience,
            schedule.seed,
            _is_half_precision(device.precision, computed_on),
        ),
        schedule.held_out,
        to or settings.data / "models" / backbone,
    )
    if settings.embedder != backbone:  # its weights are another network's
        settings = settings.model_copy(update={"weights": None, "weights_sha256": ""})
    _print_result(_trained(course, source, settings, computed_on, ctx))


def _recipe(backbone: Backbone, start: Start | None, rate: float | None) -> Recipe:
    """The backbone's recipe, with what the command line changes."""
    recipe = recipe_of(backbone)
    if start is not None:
        recipe = replace(recipe, start=start)
    return recipe if rate is None else replace(recipe, rate=rate)


def _device(requested: str) -> str:
    has_gpu = torch.cuda.is_available()
    if requested == "cuda" and not has_gpu:
        raise InvalidSettings("torch finds no usable GPU: leave --device out")
    return "cuda" if has_gpu and requested != "cpu" else "cpu"


def _is_half_precision(requested: str, device: str) -> bool:
    return requested == "bfloat16" or (requested == "auto" and device == "cuda")


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
    """Print how good the weights are; ends with 1 if they are of no use."""
    out, metrics = partial(console().print, highlight=False), trained.card["metrics"]
    assert isinstance(metrics, dict)
    out("It is trained already." if trained.before else "Trained.")
    for name, label in (("precision_at_1", "P@1"), ("map_at_100", "mAP@100")):
        before, after = metrics[f"{name}_before"], metrics[f"{name}_on_held_out_drives"]
        out(f"{label} on drives held out: {after:.3f} (before: {before:.3f})")
    out(f"{trained.weights}, with its model card in the same folder", soft_wrap=True)
    use = f"--set embedder={trained.card['name']} --set weights={trained.weights}"
    out(f"Use it: {use}", style="dim", soft_wrap=True)
    if not metrics["best_epoch"]:
        text = styled(
            "[yellow]No epoch was better than the start, which is what was kept.[/] Try a lower"
            " --rate, or more frames."
        )
        out(text)
    if metrics["collapsed"]:
        text = styled(
            "[bold red]The embedding has collapsed:[/] {}. A search would find anything: try a"
            " lower --rate, or another --seed or --pooling.",
            metrics["collapsed"],
        )
        out(text)
        raise typer.Exit(1)
