"""The training loop: steps, epochs, and early stopping by retrieval on held-out drives."""

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
from services.embedder.models.crops import Pixels
from services.embedder.models.normalising import normalised
from services.embedder.training.checkpoints import Checkpoint, TrainingProgress
from services.embedder.training.data import TrainingData
from services.embedder.training.objectives import Objective
from services.embedder.training.recipes import Recipe
from services.embedder.training.small_training import relit

_DEPTH = 100
_PER_PASS = 64


@dataclass(frozen=True)
class Schedule:
    """Length, batch size and precision of a run.

    Attributes
    ----------
    patience : number of epochs without improvement after which training ends
    half : whether convolutions and matrix products use bfloat16
    """

    epochs: int
    batch: int
    patience: int
    seed: int
    half: bool


@dataclass(frozen=True)
class Conditions:
    """The options of a run."""

    recipe: Recipe
    schedule: Schedule
    device: torch.device


class Stopped(Exception):  # not an error
    """The run was stopped, and its checkpoint is saved."""


class Watch(Protocol):
    """Observes a run, and may stop it."""

    def read(self, count: int) -> None:
        """Take the number of newly read examples."""
        ...

    def stepped(self, progress: TrainingProgress, steps: int) -> None:
        """Take the progress after a step; `steps` is the number of steps per epoch."""
        ...

    def measured(self, progress: TrainingProgress) -> None:
        """Take the progress after an epoch was added to the history."""
        ...

    def stops(self) -> bool:
        """Whether to stop now."""
        ...


def fit(
    objective: Objective,
    data: TrainingData,
    conditions: Conditions,
    checkpoint: Checkpoint,
    watch: Watch,
) -> TrainingProgress:
    """Train, or resume training, until it does not improve.

    Random numbers depend only on seed, epoch and step, so a stop does not change the result.

    Raises
    ------
    Stopped
        The watch stopped the run.
    InvalidSettings
        No two held-out drives have examples of one label, or the checkpoint is another run's.
    """
    run = _Run(objective, data, conditions)
    progress = checkpoint.load(run.objective, run.optimiser) or TrainingProgress()
    schedule = conditions.schedule
    if not progress.history:
        run.measure(progress)
        watch.measured(progress)
    while progress.epoch < schedule.epochs and progress.waited < schedule.patience:
        order = _order(data, schedule, progress.epoch)
        run.objective.train()
        for batch in order[progress.step :]:
            if watch.stops():
                checkpoint.save(progress, run.objective, run.optimiser)
                raise Stopped
            progress.loss += run.step(batch, progress)
            progress.step += 1
            watch.stepped(progress, len(order))
        progress.epoch += 1
        run.measure(progress)
        progress.step, progress.loss = 0, 0.0
        checkpoint.save(progress, run.objective, run.optimiser)
        watch.measured(progress)
    return progress


def _order(data: TrainingData, schedule: Schedule, epoch: int) -> NDArray[np.int64]:
    """(B, batch) indices in this epoch's order; leaves out the remainder."""
    learnt = np.flatnonzero(~data.held_out)
    size = min(schedule.batch, len(learnt))
    whole = len(learnt) // size * size
    shuffled = np.random.default_rng([schedule.seed, epoch]).permutation(learnt)[:whole]
    return shuffled.reshape(-1, size)


class _Run:
    """An objective with its optimiser and data."""

    def __init__(self, objective: Objective, data: TrainingData, conditions: Conditions) -> None:
        recipe = conditions.recipe
        self.objective = objective.to(conditions.device)
        optimiser_class = torch.optim.AdamW if recipe.decoupled else torch.optim.Adam
        self.optimiser: torch.optim.Optimizer = optimiser_class(
            self.objective.parameters(), recipe.rate, eps=recipe.epsilon, weight_decay=recipe.decay
        )
        self._data = data
        self._conditions = conditions

    def step(self, batch: NDArray[np.int64], progress: TrainingProgress) -> float:
        """Train on a batch, (B,) indices; returns its mean loss."""
        schedule, device = self._conditions.schedule, self._conditions.device
        rng = np.random.default_rng([schedule.seed, progress.epoch, progress.step])
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

    def measure(self, progress: TrainingProgress) -> None:
        """Add the retrieval quality on held-out drives to the history, and keep the best state."""
        held = np.flatnonzero(self._data.held_out)
        vectors = vectors_of(self.objective, self._data.pixels, held, self._conditions.device)
        labels, drives = self._data.labels[held], self._data.drives[held]
        quality = exact_quality(vectors, labels, drives, _DEPTH)
        if quality is None:
            raise InvalidSettings(
                "no label occurs on two held-out drives, so retrieval cannot be measured: give"
                " more drives, or hold out more with --held-out"
            )
        row = {
            "epoch": float(progress.epoch),
            "precision_at_1": quality.precision[1],
            "map_at_100": quality.mean_average_precision,
            "collapsed": float(collapse_of(vectors) is not None),
        }
        if progress.step:
            row["loss"] = progress.loss / progress.step
        best = progress.history[progress.best_epoch]["map_at_100"] if progress.history else -1.0
        progress.history.append(row)
        # Among equals, keep the later epoch: on easy drives, random weights retrieve as well.
        if np.isfinite(vectors).all() and row["map_at_100"] >= best:
            progress.best_epoch = progress.epoch
            state = self.objective.state_dict().items()
            progress.best = {name: tensor.detach().cpu().clone() for name, tensor in state}


def _varied(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Augment: vary the light, and mirror half of the images."""
    varied = relit(pixels, rng)
    mirrored = rng.random(len(varied)) < 0.5  # noqa: PLR2004  # one in two
    varied[mirrored] = varied[mirrored, :, ::-1]
    return varied


@torch.inference_mode()
def vectors_of(
    objective: Objective, pixels: Pixels, places: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    """Compute (N, D) vectors of these examples, of unit length or zero."""
    objective.eval()
    parts: list[Tensor] = [
        objective.vectors(normalised(pixels[batch]).to(device)).float().cpu()
        for batch in _passes(places)
    ]
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found


def _passes(places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(places), _PER_PASS):
        yield places[start : start + _PER_PASS]
