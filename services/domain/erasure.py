"""Which erased frames an event names, the event without them, and the refusal of such frames."""

from collections.abc import Set as AbstractSet
from typing import Final

from services.contracts.errors import InvalidRecord
from services.contracts.events import Event
from services.contracts.identity import FrameId, frame_hash
from services.contracts.needles import ShortlistPublished
from services.contracts.subjects import subjects_of

_LENGTH = 16
ERASED: Final = "erased_frame"
"""The reason for refusing what is about an erased frame."""


def erased_frame(frame_id: FrameId) -> InvalidRecord:
    """The error for a frame that somebody asked to erase."""
    return InvalidRecord(f"frame {frame_id} was erased on request", reason=ERASED)


def erased_name(frame_id: FrameId) -> FrameId:
    """The name of an erased frame where others refer to it: the beginning of its hash."""
    return FrameId(f"erased-{frame_hash(frame_id)[:_LENGTH]}")


def frames_of(event: Event) -> set[FrameId]:
    """Every frame that an event names."""
    return {FrameId(name) for kind, name in subjects_of(event) if kind == "frame"}


def without(event: Event, erased: AbstractSet[FrameId]) -> Event | None:
    """The event without erased frames; None if it is about one of them.

    Of a shortlist, only candidates are left out: its needle may be of another frame.
    """
    named = frames_of(event) & erased
    if not named:
        return event
    if not isinstance(event, ShortlistPublished) or event.needle.frame_id in named:
        return None
    left = tuple(item for item in event.candidates if item.frame_id not in named)
    return event.model_copy(update={"candidates": left})
