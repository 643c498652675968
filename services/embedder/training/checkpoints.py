"""Checkpoints of a training run, from which it resumes as if it had not stopped."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings
from services.embedder.models.weights import UNREADABLE


@dataclass
class TrainingProgress:
    """The progress of a run.

    Attributes
    ----------
    epoch : finished epochs
    step, loss : finished steps of the current epoch, and the sum of their losses
    history : measurements before the first epoch and after each
    best_epoch, best : the last epoch with the best retrieval, and its state dict
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return self.epoch - self.best_epoch


class Checkpoint:
    """A checkpoint file, replaced atomically.

    Parameters
    ----------
    fingerprint : of data and settings; a run with another fingerprint is never resumed
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path = path
        self._fingerprint = fingerprint

    def save(
        self, progress: TrainingProgress, objective: nn.Module, optimiser: torch.optim.Optimizer
    ) -> None:
        """Save the state durably; a crash leaves the former checkpoint or this one."""
        content = {
            "fingerprint": self._fingerprint,
            "standing": vars(progress),
            "objective": objective.state_dict(),
            "optimiser": optimiser.state_dict(),
        }
        aside = self._path.with_suffix(".part")
        with aside.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)

    def load(
        self, objective: nn.Module, optimiser: torch.optim.Optimizer
    ) -> TrainingProgress | None:
        """Restore objective and optimiser, and return the progress; None for a new run.

        Raises
        ------
        InvalidSettings
            The checkpoint is of other data or settings, or cannot be read.
        """
        if not self._path.exists():
            return None
        try:
            held = torch.load(self._path, map_location="cpu", weights_only=True)
        except UNREADABLE as exc:
            raise InvalidSettings(
                f"{self._path} cannot be read: delete it to start over, or choose another --to"
            ) from exc
        if held["fingerprint"] != self._fingerprint:
            raise InvalidSettings(
                f"{self._path.parent} holds a run of other data or settings: choose another --to,"
                f" or delete {self._path.name} there to start over"
            )
        objective.load_state_dict(held["objective"])
        optimiser.load_state_dict(held["optimiser"])
        return TrainingProgress(**held["standing"])
