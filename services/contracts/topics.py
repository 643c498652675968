"""The topics: which events each carries and how long the broker keeps them."""

from dataclasses import dataclass
from typing import Literal

from services.contracts.dead_letters import DeadLetterChanged, DeadLettered
from services.contracts.erasures import FrameErased, MatchesErased
from services.contracts.events import (
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.matches import FrameMatched
from services.contracts.needles import NeedleFound, NeedleRetracted, ShortlistPublished


@dataclass(frozen=True)
class Topic:
    """A topic's name, the types of its events and its retention.

    Parameters
    ----------
    is_input : whether others publish to it, too: vehicles, detectors, annotation tools
    """

    name: str
    events: tuple[type[Event], ...]
    retention: Literal["delete", "compact"] = "delete"
    is_input: bool = False


FRAMES = Topic("gaze.frames", (FrameCaptured, FrameErased), is_input=True)
PREDICTIONS = Topic("gaze.predictions", (PredictionsMade,), is_input=True)
GROUND_TRUTH = Topic("gaze.ground-truth", (FrameAnnotated,), is_input=True)
EMBEDDED = Topic("gaze.embedded", (FrameEmbedded,))
MATCHES = Topic("gaze.matches", (FrameMatched, MatchesErased))
NEEDLES = Topic("gaze.needles", (NeedleFound, NeedleRetracted))
REANNOTATION_TOPIC = Topic("gaze.reannotation", (ShortlistPublished,))
DEAD_LETTERS = Topic("gaze.dead-letters", (DeadLettered, DeadLetterChanged))

TOPICS = (
    FRAMES,
    PREDICTIONS,
    GROUND_TRUTH,
    EMBEDDED,
    MATCHES,
    NEEDLES,
    REANNOTATION_TOPIC,
    DEAD_LETTERS,
)
BY_NAME = {topic.name: topic for topic in TOPICS}
_TOPIC_OF = {event: topic for topic in TOPICS for event in topic.events}


def topic_of(event: Event) -> Topic:
    """The one topic that carries this event."""
    return _TOPIC_OF[type(event)]
