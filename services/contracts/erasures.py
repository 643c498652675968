"""The events of erased frames."""

from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr

from services.contracts import identity
from services.contracts.events import Event
from services.contracts.identity import FrameHash, FrameId
from services.contracts.names import NAME


class _ErasureEvent(Event):
    """An event about an erased frame. It outlives the frame, so it has only its id's hash."""

    frame_hash: Annotated[FrameHash, Field(pattern=r"^[0-9a-f]{64}$")]
    """sha256 of the frame's id, in hexadecimal."""
    reason: Annotated[str, Field(max_length=500)]
    requested_by: Annotated[str, NAME]

    def source(self) -> tuple[object, ...]:
        return (self.frame_hash,)

    def key(self) -> str:
        return self.frame_hash


class FrameErased(_ErasureEvent):
    """All that is known of a frame is to be deleted, and no later event of it counts.

    It is in the partition of the frame's own events, behind them.
    """

    type: Literal["FrameErased"] = "FrameErased"
    _frame_id: FrameId | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, frame_id: FrameId, *, reason: str, requested_by: str) -> Self:
        """The event for a frame, whose id chooses the partition and is not sent."""
        event = cls(
            frame_hash=identity.frame_hash(frame_id), reason=reason, requested_by=requested_by
        )
        event._frame_id = frame_id  # an attribute of this very class
        return event

    def partitioned_by(self) -> str:
        return self._frame_id or self.frame_hash


class MatchesErased(_ErasureEvent):
    """A frame's matches are deleted: a process that holds some of them in memory drops them.

    It is in every partition of its topic, because a frame's matches are in several.
    """

    type: Literal["MatchesErased"] = "MatchesErased"
