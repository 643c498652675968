"""Plans of a push, and what it did."""

from dataclasses import dataclass, field

from services.annotation.label_studio.logic import FrameTask
from services.annotation.ports.annotation_tasks import TaskRecord
from services.contracts.identity import FrameId


@dataclass
class Pushed:
    """What one push did."""

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
    """Tasks that Label Studio refuses, or whose image is lost or deleted; see the log."""
    waiting: set[FrameId] = field(default_factory=set)
    """Frames that stay due, because their images are hidden for now."""

    def counts(self) -> dict[str, int]:
        """All counts by name."""
        return {**vars(self), "waiting": len(self.waiting)}


@dataclass(frozen=True)
class Plan:
    """A frame's recorded task, and its target content; None if no shortlist has the frame."""

    record: TaskRecord
    target: FrameTask | None
