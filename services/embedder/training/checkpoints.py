"""Where a training run is kept between its steps, so that it goes on as if it had not stopped."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings
from services.embedder.models.weights import UNREADABLE


@dataclass
class TrainingProgress:
    """How far a run is.

    Attributes
    ----------
    epoch : epochs that are done
    step, loss : steps that are done of the next one, and the sum of their losses
    history : what was measured before the first epoch and after each
    best_epoch, best : the last epoch whose vectors retrieve best, and the state then
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
    """One file, replaced at once.

    Parameters
    ----------
    fingerprint : of data and settings; a run of another one is never gone on with
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path = path
        self._fingerprint = fingerprint

    def save(
        self, standing: TrainingProgress, objective: nn.Module, optimiser: torch.optim.Optimizer
    ) -> None:
        """Keep everything; a crash leaves the former state or this one."""
        content = {
            "fingerprint": self._fingerprint,
            "standing": vars(standing),
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
        """Where the run was, with objective and optimiser as they were then; none if it is new.

        Raises
        ------
        InvalidSettings
            The folder holds a run of other data or settings, or its file is broken.
        """
        if not self._path.exists():
            return None
        try:
            held = torch.load(self._path, map_location="cpu", weights_only=True)
        except UNREADABLE as exc:
            raise InvalidSettings(
                f"{self._path} cannot be read: delete it to begin anew, or choose another --to"
            ) from exc
        if held["fingerprint"] != self._fingerprint:
            raise InvalidSettings(
                f"{self._path.parent} holds a run of other data or settings: choose another --to,"
                f" or delete {self._path.name} there to begin anew"
            )
        objective.load_state_dict(held["objective"])
        optimiser.load_state_dict(held["optimiser"])
        return TrainingProgress(**held["standing"])
