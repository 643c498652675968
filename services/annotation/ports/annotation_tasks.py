"""Tasks in the annotation team's tool, one per frame, and their status."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.contracts.identity import FrameId


class TaskStatus(StrEnum):
    """The status of a task."""

    WAITING = "waiting"
    """The tool does not have it yet."""
    OPEN = "open"
    STARTED = "started"
    """Somebody has a draft."""
    SKIPPED = "skipped"
    ANSWERED = "answered"
    """The submission is ground truth, or a held correction."""
    REFUSED = "refused"
    """The submission is invalid; it is a dead letter."""
    WITHDRAWN = "withdrawn"
    """The frame is on no shortlist any more."""
    DELETED = "deleted"
    """Somebody deleted it in the tool; it is not pushed again automatically."""


@dataclass(frozen=True)
class TaskRecord:
    """One frame's task.

    Attributes
    ----------
    task_id : the tool's id; None before the task exists
    trying : whether a push began whose end was not recorded
    asked : digest of the pushed task
    image : where the tool has the frame's image; empty if it has none
    link_until : when the link to our image ends
    read : digest of the last answer read
    revision : the last revision of ground truth from the task
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
