"""The subjects of an event, which connect an effect with its cause."""

from services.contracts.dead_letters import DeadLetterChanged, DeadLettered
from services.contracts.events import (
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.identity import FrameId
from services.contracts.matches import FrameMatched
from services.contracts.needles import NeedleFound, NeedleRetracted, ShortlistPublished

Subject = tuple[str, str]
"""A type and an id: a needle and a frame may have the same id."""


def frame_of(event: Event) -> FrameId | None:
    """The frame that an event is about; None for a dead letter."""
    match event:
        case ShortlistPublished():
            return event.needle.frame_id
        case (
            FrameCaptured()
            | PredictionsMade()
            | FrameAnnotated()
            | FrameEmbedded()
            | FrameMatched()
            | NeedleFound()
            | NeedleRetracted()
        ):
            return event.frame_id
    return None


def subjects_of(event: Event) -> list[Subject]:
    """What an event is about, nearest first: its needle, its frame, the frames that it lists."""
    if isinstance(event, DeadLettered | DeadLetterChanged):
        return []
    subjects: list[Subject] = []
    if isinstance(event, NeedleFound | NeedleRetracted | ShortlistPublished):
        subjects.append(("needle", event.needle_id))
    frame_id = frame_of(event)
    if frame_id is not None:
        subjects.append(("frame", frame_id))
    if isinstance(event, ShortlistPublished):
        subjects += [("frame", candidate.frame_id) for candidate in event.candidates]
    return subjects
