"""What one push has to do, and what it has done."""

from dataclasses import dataclass

from services.annotation.label_studio.logic import FrameTask
from services.domain.ports.annotation_tasks import TaskRecord


@dataclass
class Pushed:
    """What one push did."""

    created: int = 0
    changed: int = 0
    withdrawn: int = 0
    left: int = 0
    """Somebody works on them, or has: they stay as they are."""
    adopted: int = 0
    """They were there already."""
    deleted: int = 0
    """Somebody had deleted them; they are not pushed again."""
    refused: int = 0
    """Label Studio does not take them; the log says why."""

    def add(self, other: "Pushed") -> None:
        """Count another one in."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class Plan:
    """A frame's task as it is, and what it is to ask; nothing where nobody asks any more."""

    record: TaskRecord
    asked: FrameTask | None
