"""Where plans come from."""

from dataclasses import dataclass

from services.retriever.learning.fitting import Learning
from services.retriever.scoring.caches import KnownFrames, KnownNeedles, KnownSize, KnownVectors
from services.retriever.scoring.candidate_source import Hay
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
