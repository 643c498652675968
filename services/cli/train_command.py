"""`gazeloop train`: train or fine-tune an embedding network on the user's own frames."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli.examples import example
from services.cli.labelled_source import ExampleOptions, Source
from services.cli.lazy import done_by
from services.cli.option_groups import with_option_groups
from services.embedder.training.choices import Start

app = typer.Typer()


@dataclass(frozen=True)
class ScheduleOptions:
    """How long and how fast to train, and on what share of the examples."""

    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Most epochs.")] = 50
    batch: Annotated[int, typer.Option("--batch", min=2, help="Examples per step.")] = 64
    rate: Annotated[
        float | None, typer.Option("--rate", help="Learning rate; default: the backbone's own.")
    ] = None
    patience: Annotated[
        int,
        typer.Option("--patience", min=1, help="Stop after this many epochs without improvement."),
    ] = 8
    held_out: Annotated[
        float,
        typer.Option(
            "--held-out",
            min=0.01,
            max=0.9,
            help="Share of drives (frames, if drives are unknown) held out to decide when to stop;"
            " at least two are held out, and two learnt from.",
        ),
    ] = 0.2
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0


@dataclass(frozen=True)
class DeviceOptions:
    """What to compute on."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to train on.")
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option("--precision", help="auto: mixed (bfloat16) on a GPU, float32 on a CPU."),
    ] = "auto"


@app.command(
    "train",
    epilog=example("train --backbone resnet18_scratch --coco gt.json --images DIR --epochs 30"),
)
@with_option_groups
@done_by("services.cli.work.train")
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
    examples: ExampleOptions,
    start: Annotated[
        Start | None,
        typer.Option("--start", help="Start from random weights, or from the configured ones."),
    ] = None,
    schedule: ScheduleOptions,
    device: DeviceOptions,
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
