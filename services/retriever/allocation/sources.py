"""The data sources of a plan."""

from dataclasses import dataclass

from services.retriever.learning.fitting import Learning
from services.retriever.scoring.caches import (
    FrameCache,
    HaystackSizeCache,
    NeedleCache,
    VectorCache,
)
from services.retriever.scoring.candidate_source import CandidateSource
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Sources:
    """What a plan reads from."""

    frames: FrameCache
    needles: NeedleCache
    vectors: VectorCache
    size: HaystackSizeCache
    learning: Learning
    candidates: CandidateSource
    settings: Settings
