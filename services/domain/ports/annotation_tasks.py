"""One frame as a task in the annotation team's tool, and what became of it there."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.contracts.identity import FrameId


class TaskStatus(StrEnum):
    """What has become of a task."""

    WAITING = "waiting"
    """It is not there yet."""
    OPEN = "open"
    STARTED = "started"
    """Somebody has a draft."""
    SKIPPED = "skipped"
    ANSWERED = "answered"
    """What was submitted is ground truth, or waits for an answer."""
    REFUSED = "refused"
    """What was submitted cannot be used; it is a dead letter."""
    WITHDRAWN = "withdrawn"
    """Nobody asks for the frame any more."""
    DELETED = "deleted"
    """Somebody has deleted it there; it is not pushed again of itself."""


@dataclass(frozen=True)
class TaskRecord:
    """One frame's task.

    Attributes
    ----------
    task_id : the tool's; none where it has none
    trying : whether a push was begun, of which the end was not noted
    asked : digest of what the task asks
    image : where the tool has the frame's image; empty where it has none
    link_until : when the link to our image ends
    read : digest of what was last read back
    revision : the last ground truth that came of it
    """

    frame_id: FrameId
    touched: int = 0
    settled: int = 0
    task_id: int | None = None
    trying: bool = False
    status: TaskStatus = TaskStatus.WAITING
    asked: str = ""
    image: str = ""
    link_until: datetime | None = None
    read: str = ""
    revision: int | None = None
