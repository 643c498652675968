"""Trains gazeloop-small on crops to predict each box's category and its offset."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from services.domain.unit_vectors import scaled_to_unit
from services.embedder.models.crops import Pixels
from services.embedder.models.normalising import normalised
from services.embedder.models.small import CHANNELS, GazeloopSmall

_SMOOTHING = 0.05
_SMOOTH_BELOW = 0.1
"""Offset errors below this are squared in the loss, because they hardly matter."""
_PER_PASS = 256
BACKGROUND = 0
"""Label of a crop without an annotated object; categories start at 1."""


@dataclass(frozen=True)
class Crops:
    """Crops with their labels, as parallel arrays.

    Attributes
    ----------
    pixels : (N, S, S, 3) uint8
    labels : (N,) int64, 0 for background
    offsets : (N, 4) float32, from the crop's window to the annotation: dx and dy of the centres in
        shares of the window's sides, logarithms of the ratios of width and height; 0 for
        background
    drives : (N,) int64, the drive of each crop
    """

    pixels: Pixels
    labels: NDArray[np.int64]
    offsets: NDArray[np.float32]
    drives: NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """The hyperparameters."""

    categories: int
    epochs: int = 12
    batch: int = 128
    rate: float = 3e-3
    decay: float = 0.02
    offset_weight: float = 1.0
    background_share: float = 0.8
    """Background crops per object crop in an epoch; half of them are the hardest."""
    easy_epochs: int = 2
    """Number of epochs before hard background is mined."""
    seed: int = 0


class _Heads(nn.Module):
    """The classifier and the regressor on the embedding, for training only."""

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
    """Train a network whose vectors separate categories, background and bad boxes.

    Parameters
    ----------
    report : called after each epoch with its number, from 1, and its mean loss
    """
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    model, heads = GazeloopSmall(), _Heads(plan.categories)
    model = model.to(memory_format=torch.channels_last)
    parameters = [*model.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, plan.rate, weight_decay=plan.decay)
    steps = plan.epochs * len(_batches(_epoch(crops, plan, rng), plan, rng))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=steps)
    for epoch in range(1, plan.epochs + 1):
        hardness = None if epoch <= plan.easy_epochs else _hardness(model, heads, crops)
        losses = []
        model.train()
        for batch in _batches(_epoch(crops, plan, rng, hardness), plan, rng):
            loss = _loss(model, heads, _part(crops, batch, rng), plan.offset_weight)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        if report is not None:
            report(epoch, float(np.mean(losses)))
    return model.eval()


def _epoch(
    crops: Crops,
    plan: Plan,
    rng: np.random.Generator,
    hardness: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """Indices of all objects and of some background: half the hardest, half at random."""
    objects = np.flatnonzero(crops.labels != BACKGROUND)
    background = rng.permutation(np.flatnonzero(crops.labels == BACKGROUND))
    count = min(round(plan.background_share * len(objects)), len(background))
    if hardness is not None:
        hardest = np.argsort(-hardness[background], kind="stable")[: count // 2]
        background = np.concatenate([background[hardest], np.delete(background, hardest)])
    return np.concatenate([objects, background[:count]])


def _batches(epoch: NDArray[np.int64], plan: Plan, rng: np.random.Generator) -> NDArray[np.int64]:
    """(B, batch) indices in random order; leaves out the remainder."""
    whole = len(epoch) // plan.batch * plan.batch
    return rng.permutation(epoch)[:whole].reshape(-1, plan.batch)


def _hardness(model: GazeloopSmall, heads: _Heads, crops: Crops) -> NDArray[np.float32]:
    """(N,) probability of an object for background crops; 0 for object crops."""
    sure = np.zeros(len(crops.labels), np.float32)
    background = np.flatnonzero(crops.labels == BACKGROUND)
    with torch.inference_mode():
        logits, _ = heads(torch.from_numpy(vectors_of(model, crops.pixels[background])))
        sure[background] = 1 - logits.softmax(dim=1)[:, BACKGROUND].numpy()
    return sure


@torch.inference_mode()
def vectors_of(model: GazeloopSmall, pixels: Pixels) -> NDArray[np.float32]:
    """Compute (N, C) vectors, which are not normalised."""
    model.eval()
    parts = [
        model(normalised(pixels[start : start + _PER_PASS])).mean(dim=(2, 3)).numpy()
        for start in range(0, len(pixels), _PER_PASS)
    ]
    return np.concatenate([np.empty((0, CHANNELS), np.float32), *parts])


def precision_at(count: int, vectors: NDArray[np.float32], crops: Crops) -> float:
    """Share of each object's nearest crops, on other drives, that have its label."""
    unit = scaled_to_unit(vectors)
    objects = np.flatnonzero(crops.labels != BACKGROUND)
    near = unit[objects] @ unit.T
    near[crops.drives[objects][:, None] == crops.drives] = -2
    best = np.argpartition(-near, count, axis=1)[:, :count]
    return float(np.mean(crops.labels[best] == crops.labels[objects][:, None]))


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
    """These crops with varied light, and half of them mirrored."""
    pixels = relit(crops.pixels[batch], rng)
    offsets = crops.offsets[batch]
    mirrored = rng.random(len(pixels)) < 0.5  # noqa: PLR2004  # one in two
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    offsets[mirrored, 0] *= -1
    return Crops(pixels, crops.labels[batch], offsets, crops.drives[batch])


def relit(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Vary the crops' light, colour and grain at random: (N, S, S, 3) uint8."""
    by_crop, colour = (len(pixels), 1, 1, 1), (len(pixels), 1, 1, 3)
    gain = rng.uniform(0.7, 1.3, by_crop) * rng.uniform(0.9, 1.1, colour)
    lift = rng.uniform(-20, 20, by_crop)
    grain = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, 8))
    lit = pixels * gain.astype(np.float32) + lift.astype(np.float32) + grain
    return lit.clip(0, 255).astype(np.uint8)
