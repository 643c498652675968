"""Training of gazeloop-small on crops: what each box holds, and how far it is off."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from services.embedder.crops import Pixels, normalised
from services.embedder.small import CHANNELS, GazeloopSmall

_SMOOTHING = 0.05
_SMOOTH_BELOW = 0.1
"""Offsets closer than this weigh by their square: they are as good as right."""
BACKGROUND = 0
"""Label of a crop that holds no annotated object; the categories count from 1."""


@dataclass(frozen=True)
class Crops:
    """Crops with what is known of them, as parallel arrays.

    Attributes
    ----------
    pixels : (N, S, S, 3) uint8
    labels : (N,) int64, 0 for background
    offsets : (N, 4) float32, from the crop's window to the annotation: dx and dy of the middles in
        shares of the window's sides, logarithms of width and height over the window's; 0 for
        background
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    offsets: NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """How long and how fast."""

    categories: int
    epochs: int = 12
    batch: int = 128
    rate: float = 3e-3
    decay: float = 0.02
    offset_weight: float = 1.0
    seed: int = 0


class _Heads(nn.Module):
    """What the embedding is asked in training, and never after."""

    def __init__(self, categories: int) -> None:
        super().__init__()
        self.category = nn.Linear(CHANNELS, categories + 1)
        self.offset = nn.Linear(CHANNELS, 4)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C) to (N, categories + 1) and (N, 4)."""
        return self.category(vectors), self.offset(vectors)


def train(
    crops: Crops, plan: Plan, report: Callable[[int, float], None] | None = None
) -> GazeloopSmall:
    """A network whose vectors tell the categories, the background and bad boxes apart.

    Parameters
    ----------
    report : called after each epoch with its number, from 1, and its mean loss
    """
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    model, heads = GazeloopSmall(), _Heads(plan.categories)
    model = model.to(memory_format=torch.channels_last).train()
    parameters = [*model.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, plan.rate, weight_decay=plan.decay)
    steps = plan.epochs * (len(crops.labels) // plan.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps)
    for epoch in range(1, plan.epochs + 1):
        losses = []
        for batch in _batches(len(crops.labels), plan.batch, rng):
            loss = _loss(model, heads, _part(crops, batch, rng), plan.offset_weight)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        if report is not None:
            report(epoch, float(np.mean(losses)))
    return model.eval()


def _batches(count: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(B, size) indices in random order; the remainder waits for another epoch."""
    return rng.permutation(count)[: count // size * size].reshape(-1, size)


def _loss(model: GazeloopSmall, heads: _Heads, part: Crops, offset_weight: float) -> Tensor:
    labels = torch.from_numpy(part.labels)
    vectors = model(normalised(part.pixels)).mean(dim=(2, 3))
    categories, offsets = heads(vectors)
    wrong: Tensor = functional.cross_entropy(categories, labels, label_smoothing=_SMOOTHING)
    objects = labels != BACKGROUND
    if objects.any():
        true = torch.from_numpy(part.offsets)[objects]
        off = functional.smooth_l1_loss(offsets[objects], true, beta=_SMOOTH_BELOW)
        wrong = wrong + offset_weight * off
    return wrong


def _part(crops: Crops, batch: NDArray[np.int64], rng: np.random.Generator) -> Crops:
    """These crops under other light, half of them seen in a mirror."""
    pixels = _relit(crops.pixels[batch], rng)
    offsets = crops.offsets[batch]
    mirrored = rng.random(len(pixels)) < 0.5  # noqa: PLR2004  # one in two
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    offsets[mirrored, 0] *= -1
    return Crops(pixels, crops.labels[batch], offsets)


def _relit(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    each, colour = (len(pixels), 1, 1, 1), (len(pixels), 1, 1, 3)
    gain = rng.uniform(0.7, 1.3, each) * rng.uniform(0.9, 1.1, colour)
    lift = rng.uniform(-20, 20, each)
    grain = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, 8))
    lit = pixels * gain.astype(np.float32) + lift.astype(np.float32) + grain
    return lit.clip(0, 255).astype(np.uint8)
