"""The loop: steps, epochs, and early stopping by retrieval on drives that are held out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.contracts.errors import InvalidSettings
from services.domain.statistics.collapse import collapse_of
from services.domain.statistics.retrieval_quality import exact_quality
from services.embedder.models.crops import Pixels, normalised
from services.embedder.training.checkpoints import Checkpoint, TrainingProgress
from services.embedder.training.data import TrainingData
from services.embedder.training.objectives import Objective
from services.embedder.training.recipes import Recipe
from services.embedder.training.small_training import relit

_DEPTH = 100
_PER_PASS = 64


@dataclass(frozen=True)
class Schedule:
    """How long, how many at once, and how exactly.

    Attributes
    ----------
    patience : epochs without a better one after which it ends
    half : whether convolutions and products are reckoned in bfloat16
    """

    epochs: int
    batch: int
    patience: int
    seed: int
    half: bool


@dataclass(frozen=True)
class Conditions:
    """All that is set of a run."""

    recipe: Recipe
    schedule: Schedule
    device: torch.device


class Stopped(Exception):  # it is no error
    """The run was told to stop, and everything is kept."""


class Watch(Protocol):
    """Who looks on."""

    def read(self, count: int) -> None:
        """So many more examples are read."""
        ...

    def stepped(self, standing: TrainingProgress, steps: int) -> None:
        """A step of this many is done."""
        ...

    def measured(self, standing: TrainingProgress) -> None:
        """An epoch has been added to the history."""
        ...

    def stops(self) -> bool:
        """Whether to stop here."""
        ...


def fit(
    objective: Objective,
    data: TrainingData,
    conditions: Conditions,
    checkpoint: Checkpoint,
    watch: Watch,
) -> TrainingProgress:
    """Train, or go on with it, until it gets no better.

    What is random is drawn anew from seed, epoch and step, so where it was stopped changes nothing.

    Raises
    ------
    Stopped
        The watch asked for it.
    InvalidSettings
        The held-out drives have no two examples of one label, or the checkpoint is another run's.
    """
    run = _Run(objective, data, conditions)
    standing = checkpoint.load(run.objective, run.optimiser) or TrainingProgress()
    schedule = conditions.schedule
    if not standing.history:
        run.measure(standing)
        watch.measured(standing)
    while standing.epoch < schedule.epochs and standing.waited < schedule.patience:
        order = _order(data, schedule, standing.epoch)
        run.objective.train()
        for batch in order[standing.step :]:
            if watch.stops():
                checkpoint.save(standing, run.objective, run.optimiser)
                raise Stopped
            standing.loss += run.step(batch, standing)
            standing.step += 1
            watch.stepped(standing, len(order))
        standing.epoch += 1
        run.measure(standing)
        standing.step, standing.loss = 0, 0.0
        checkpoint.save(standing, run.objective, run.optimiser)
        watch.measured(standing)
    return standing


def _order(data: TrainingData, schedule: Schedule, epoch: int) -> NDArray[np.int64]:
    """(B, batch) places in this epoch's order; the remainder waits for another epoch."""
    learnt = np.flatnonzero(~data.held_out)
    size = min(schedule.batch, len(learnt))
    whole = len(learnt) // size * size
    shuffled = np.random.default_rng([schedule.seed, epoch]).permutation(learnt)[:whole]
    return shuffled.reshape(-1, size)


class _Run:
    """An objective that learns from data."""

    def __init__(self, objective: Objective, data: TrainingData, conditions: Conditions) -> None:
        recipe = conditions.recipe
        self.objective = objective.to(conditions.device)
        kind = torch.optim.AdamW if recipe.decoupled else torch.optim.Adam
        self.optimiser: torch.optim.Optimizer = kind(
            self.objective.parameters(), recipe.rate, eps=recipe.epsilon, weight_decay=recipe.decay
        )
        self._data = data
        self._conditions = conditions

    def step(self, batch: NDArray[np.int64], standing: TrainingProgress) -> float:
        """Learn from a batch, (B,) places; its mean loss."""
        schedule, device = self._conditions.schedule, self._conditions.device
        rng = np.random.default_rng([schedule.seed, standing.epoch, standing.step])
        torch.manual_seed(int(rng.integers(2**62)))
        pixels = _varied(self._data.pixels[batch], rng)
        labels = torch.from_numpy(self._data.labels[batch]).to(device)
        picture = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.autocast(device.type, torch.bfloat16, enabled=schedule.half):
            loss = self.objective.loss(normalised(pixels).to(device), picture, labels)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item()

    def measure(self, standing: TrainingProgress) -> None:
        """Add to the history how the held-out drives are retrieved, and remember the best."""
        held = np.flatnonzero(self._data.held_out)
        vectors = vectors_of(self.objective, self._data.pixels, held, self._conditions.device)
        labels, drives = self._data.labels[held], self._data.drives[held]
        quality = exact_quality(vectors, labels, drives, _DEPTH)
        if quality is None:
            raise InvalidSettings(
                "no label is on two of the drives that are held out, so nobody could say whether"
                " training helps: give more drives, or hold out more with --held-out"
            )
        row = {
            "epoch": float(standing.epoch),
            "precision_at_1": quality.precision[1],
            "map_at_100": quality.mean_average_precision,
            "collapsed": float(collapse_of(vectors) is not None),
        }
        if standing.step:
            row["loss"] = standing.loss / standing.step
        best = standing.history[standing.best_epoch]["map_at_100"] if standing.history else -1.0
        standing.history.append(row)
        # Of equals the later one, which has learnt more: easy drives are found by random weights.
        if np.isfinite(vectors).all() and row["map_at_100"] >= best:
            standing.best_epoch = standing.epoch
            state = self.objective.state_dict().items()
            standing.best = {name: tensor.detach().cpu().clone() for name, tensor in state}


def _varied(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Under other light, half of them seen in a mirror."""
    varied = relit(pixels, rng)
    mirrored = rng.random(len(varied)) < 0.5  # noqa: PLR2004  # one in two
    varied[mirrored] = varied[mirrored, :, ::-1]
    return varied


@torch.inference_mode()
def vectors_of(
    objective: Objective, pixels: Pixels, places: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    """(N, D) vectors of these examples, of unit length or zero."""
    objective.eval()
    parts: list[Tensor] = [
        objective.vectors(normalised(pixels[some]).to(device)).float().cpu()
        for some in _passes(places)
    ]
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found


def _passes(places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(places), _PER_PASS):
        yield places[start : start + _PER_PASS]
