"""Tasks in the annotation team's tool, one per frame, and the protocol of their store.

A frame is *touched* whenever something may change its task, and *settled* once its task in the tool
is up to date. Touches are counted, so that one while the frame is being settled is not lost.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from services.contracts.identity import FrameId
from services.contracts.needles import ShortlistPublished


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
    task_id: int | None = None
    trying: bool = False
    status: TaskStatus = TaskStatus.WAITING
    asked: str = ""
    image: str = ""
    link_until: datetime | None = None
    read: str = ""
    revision: int | None = None


@dataclass(frozen=True)
class ToolState:
    """The state of the synchronisation with the tool.

    Attributes
    ----------
    project : id of the project in the tool; None before the first read or push
    since : time of the latest change that was read, by the tool's clock
    webhooks, webhooks_followed : webhooks received, and how many of them led to a read
    """

    project: int | None = None
    since: str = ""
    webhooks: int = 0
    webhooks_followed: int = 0


class AnnotationTasks(Protocol):
    """The frames that need a task in the tool, and the state of these tasks."""

    async def ask(self, shortlists: Sequence[ShortlistPublished]) -> None:
        """Merge the shortlists, then touch every frame that any revision of them has named.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def touch(self, frame_ids: Collection[FrameId]) -> None:
        """Mark the tasks of these frames for an update; frames without a task get none."""
        ...

    async def touch_ending_links(self, before: datetime) -> None:
        """Mark unanswered tasks whose image link expires before then for an update."""
        ...

    async def end_links(self, now: datetime) -> None:
        """Note that no link to an image is valid any more, as after a change of the signing key."""
        ...

    async def forget_deleted(self) -> None:
        """Mark tasks that were deleted in the tool, so that they are pushed again."""
        ...

    async def asking(self, frame_ids: Collection[FrameId]) -> list[ShortlistPublished]:
        """The latest shortlists that name any of these frames, ordered by needle id."""
        ...

    async def due(self, limit: int, *, without: Collection[FrameId] = ()) -> list[TaskRecord]:
        """Frames that were touched and are not settled yet; those in `without` are left out."""
        ...

    async def of_frames(self, frame_ids: Collection[FrameId]) -> dict[FrameId, TaskRecord]:
        """The tasks of these frames."""
        ...

    async def in_tool(self) -> dict[int, FrameId]:
        """The frames whose task is in the tool, by the task's id."""
        ...

    async def note(self, frame_id: FrameId, **facts: Any) -> None:
        """Store these fields of a frame's record durably."""
        ...

    async def settle(self, record: TaskRecord) -> None:
        """Mark a frame as up to date, unless it was touched after `record` was loaded."""
        ...

    async def counts(self) -> Mapping[TaskStatus, int]:
        """How many tasks there are of each status."""
        ...

    async def state(self) -> ToolState:
        """The stored state."""
        ...

    async def note_state(self, **facts: object) -> None:
        """Store these fields of the tool's state durably."""
        ...

    async def note_webhook(self) -> None:
        """Count a webhook: something has changed in the tool."""
        ...

    async def lease(self, holder: str, now: datetime, lasting: timedelta) -> bool:
        """Take or renew the exclusive lease to push; False while another holder has it."""
        ...

    async def release(self, holder: str) -> None:
        """Release the lease to push."""
        ...
