"""`gazeloop train`: train or fine-tune an embedding network on the user's own frames."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from services.annotation import exporting
from services.cli.console import console
from services.cli.context import INTERRUPTED, example, run, shared
from services.cli.labelled_source import (
    Label,
    LookedAt,
    Source,
    labelled_frames,
)
from services.cli.option_groups import with_option_groups
from services.cli.training_view import TrainingView
from services.contracts.errors import InvalidSettings
from services.embedder.models.backbones import backbone_named
from services.embedder.training.fitting import Schedule, Stopped
from services.embedder.training.labelled import LabelRule, Looked, examples
from services.embedder.training.recipes import Start, recipe_of
from services.embedder.training.training_run import Course, Trained
from services.embedder.training.training_run import train as train_network
from services.runtime.settings import Settings

app = typer.Typer()

_RESUME = "Run the same command to continue."


@app.command(
    "train",
    epilog=example("train --backbone resnet18_scratch --coco gt.json --images DIR --epochs 30"),
)
@with_option_groups
def train(
    ctx: typer.Context,
    *,
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="Home-grown ones (vanilla_ae, conv_ae, denoising_ae, mini_densenet,"
            " resnet18_scratch) begin at random, all others with the weights that are set, else"
            " their own.",
        ),
    ],
    source: Source,
    looked: LookedAt = Looked.CROPS,
    label: Label = LabelRule.MOST_FREQUENT,
    start: Annotated[
        Start | None,
        typer.Option("--start", help="Start from random weights, or from the configured ones."),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Most epochs.")] = 50,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Examples per step.")] = 64,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Learning rate; default: the backbone's own.")
    ] = None,
    patience: Annotated[
        int,
        typer.Option("--patience", min=1, help="Stop after this many epochs without improvement."),
    ] = 8,
    held_out: Annotated[
        float,
        typer.Option(
            "--held-out",
            min=0.01,
            max=0.9,
            help="Share of drives (frames, if drives are unknown) held out to decide when to stop.",
        ),
    ] = 0.2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to train on.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option("--precision", help="auto: mixed (bfloat16) on a GPU, float32 on a CPU."),
    ] = "auto",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            file_okay=False,
            metavar="DIR",
            help="Folder for weights and model card. Default: `models/NAME` in the data folder.",
        ),
    ] = None,
) -> None:
    """Train an embedding network: autoencoders to reconstruct, all others to classify.

    Some drives are held out. After each epoch, every object (or frame) on them is a query against
    the others; the epoch with the highest mAP is kept. Ctrl-C stops after the current step, and the
    same command continues; on a CPU the final weights are the same as without a stop. From a data
    folder, only annotated frames of the haystack are used, so that the reference stays unseen.
    """
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
    _tell(_trained(course, source, settings, where, ctx))


def _device(requested: str) -> str:

    there = torch.cuda.is_available()
    if requested == "cuda" and not there:
        raise InvalidSettings("torch finds no usable GPU: leave --device out")
    return "cuda" if there and requested != "cpu" else "cpu"


def _trained(
    course: Course, source: Source, settings: Settings, where: str, ctx: typer.Context
) -> Trained:

    frames = run(
        lambda: labelled_frames(source, shared(ctx), exporting.training_frames),
        interrupted=_RESUME,
    )
    chosen = examples(frames, course.looked, course.rule)
    torch.set_num_threads(settings.torch_threads)
    with TrainingView(console(), course, len(chosen)) as view:
        try:
            return train_network(course, chosen, settings, torch.device(where), view)
        except Stopped:
            view.close()
            console(stderr=True).print(f"Stopped. {_RESUME}", highlight=False)
            raise typer.Exit(INTERRUPTED) from None


def _tell(trained: Trained) -> None:
    out = console()
    metrics = trained.card["metrics"]
    assert isinstance(metrics, dict)
    out.print("It is trained already." if trained.before else "Trained.", highlight=False)
    for name, what in (("precision_at_1", "P@1"), ("map_at_100", "mAP@100")):
        after = metrics[f"{name}_on_held_out_drives"]
        out.print(
            f"{what} on drives held out: {after:.3f} (before: {metrics[f'{name}_before']:.3f})",
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
