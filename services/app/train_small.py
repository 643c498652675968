"""Train the included weights, gazeloop-small, on synthetic drives.

Run it as `python -m services.app.train_small`; on two cores it takes a few minutes. The drives
differ from the demo's. Training uses only labels that annotators would give: boxes of the
annotated categories. Objects that the detector confuses with them count as background.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from safetensors.torch import save

from services.embedder.models.backbones import SHIPPED, backbone_named
from services.embedder.models.small import GazeloopSmall
from services.embedder.training.cards import write_with_card
from services.embedder.training.sampling import AnnotatedImage, SamplingPlan, sample
from services.embedder.training.small_training import Crops, Plan, precision_at, train, vectors_of
from services.survey.scene import render_frame
from services.survey.world import ANNOTATED, plan_drive

_NAME = "gazeloop-small"
_TRAIN_SEED, _TEST_SEED = 1001, 2002
"""Neither is the demo's seed, so training never sees a drive of the demo."""
_TEST_DRIVES = 24
_NEAREST = 10


def annotated_drives(seed: int, drives: int, frames: int) -> Iterator[AnnotatedImage]:
    """Frames of synthetic drives with the boxes that annotators would draw."""
    for number in range(drives):
        drive = plan_drive(number, seed=seed, frames=frames)
        for index in range(frames):
            rendered = render_frame(drive, index)
            shown = [sighting for sighting in rendered.sightings if sighting.kind in ANNOTATED]
            boxes = np.array([sighting.bbox for sighting in shown], np.float64).reshape(-1, 4)
            labels = np.array([ANNOTATED.index(sighting.kind) + 1 for sighting in shown], np.int64)
            yield AnnotatedImage(rendered.image, boxes, labels, number)


def train_small(
    output: Path, *, drives: int, frames: int, epochs: int, seed: int, console: Console
) -> Path:
    """Train, measure on held-out drives, write weights and model card; return the card's path."""
    side = backbone_named(_NAME).crop_side
    sampling = SamplingPlan(side=side, seed=seed)
    console.print(f"Drawing {drives} drives of {frames} frames")
    crops = sample(annotated_drives(_TRAIN_SEED, drives, frames), sampling)
    held_out = SamplingPlan(side=side, per_object=1, background_per_image=2, seed=seed)
    test = sample(annotated_drives(_TEST_SEED, _TEST_DRIVES, frames), held_out)
    plan = Plan(categories=len(ANNOTATED), epochs=epochs, seed=seed)
    console.print(f"Training on {len(crops.labels)} crops")
    model = train(crops, plan, lambda epoch, loss: console.print(f"epoch {epoch}: loss {loss:.3f}"))
    card = {
        "name": _NAME,
        "made_by": f"python -m services.app.train_small --drives {drives} --frames {frames} "
        f"--epochs {epochs} --seed {seed}",
        "data": {
            "what": "synthetic drives of services/survey, ground-truth boxes and background",
            "categories": [str(kind) for kind in ANNOTATED],
            "train_seed": _TRAIN_SEED,
            "test_seed": _TEST_SEED,
            "train_crops": len(crops.labels),
            "test_crops": len(test.labels),
        },
        "sampling": asdict(sampling),
        "training": asdict(plan),
        "metrics": _metrics(model, test),
    }
    return _write(model, card, output)


def _metrics(model: GazeloopSmall, test: Crops) -> dict[str, float]:
    torch.manual_seed(0)
    untrained = GazeloopSmall()
    name = f"precision_at_{_NEAREST}_on_other_drives"
    trained = precision_at(_NEAREST, vectors_of(model, test.pixels), test)
    return {
        name: round(trained, 4),
        f"{name}_untrained": round(
            precision_at(_NEAREST, vectors_of(untrained, test.pixels), test), 4
        ),
    }


def _write(model: GazeloopSmall, card: Mapping[str, object], output: Path) -> Path:
    # Half precision halves the size, and changes cosines by less than 1e-4.
    state = {
        name: tensor.half().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    content = save(state)
    stated = {
        **card,
        "parameters": sum(tensor.numel() for tensor in model.parameters()),
        "stored_as": "float16",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return write_with_card(output / f"{_NAME}.safetensors", content, stated)


def main(  # noqa: PLR0917  # typer reads them by name
    output: Annotated[Path, typer.Option(help="Folder for weights and card.")] = SHIPPED,
    drives: Annotated[int, typer.Option(help="Synthetic drives to train on.")] = 110,
    frames: Annotated[int, typer.Option(help="Frames per drive.")] = 10,
    epochs: Annotated[int, typer.Option(help="Times that every object is seen.")] = 10,
    seed: Annotated[int, typer.Option(help="Of crops, their order and the first weights.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 1 where the cores are busy.")] = 2,
) -> None:
    """Train gazeloop-small and write its weights with their card."""
    torch.set_num_threads(threads)
    console = Console()
    card = train_small(
        output, drives=drives, frames=frames, epochs=epochs, seed=seed, console=console
    )
    console.print(f"Wrote {card}")


if __name__ == "__main__":
    typer.run(main)
