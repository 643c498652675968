"""Plans of a push, and its counts."""

from dataclasses import dataclass

from services.annotation.label_studio.logic import FrameTask
from services.annotation.ports.annotation_tasks import TaskRecord


@dataclass
class Pushed:
    """Counts of one push."""

    created: int = 0
    changed: int = 0
    withdrawn: int = 0
    left: int = 0
    """Tasks left unchanged, because somebody has started on them."""
    adopted: int = 0
    """Tasks found in the project, from an earlier push."""
    deleted: int = 0
    """Tasks deleted in Label Studio; they are not pushed again."""
    refused: int = 0
    """Tasks that Label Studio refuses; see the log."""

    def add(self, other: "Pushed") -> None:
        """Add another push's counts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class Plan:
    """A frame's recorded task, and its target content; None if no shortlist has the frame."""

    record: TaskRecord
    target: FrameTask | None
