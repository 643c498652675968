"""Where plans come from."""

from dataclasses import dataclass

from services.retriever.hay import Hay
from services.retriever.known import KnownFrames, KnownNeedles, KnownSize, KnownVectors
from services.retriever.learning import Learning
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Sources:
    """All that a plan asks."""

    frames: KnownFrames
    needles: KnownNeedles
    vectors: KnownVectors
    size: KnownSize
    learning: Learning
    candidates: Hay
    settings: Settings
