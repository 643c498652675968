"""The data sources of a plan."""

from dataclasses import dataclass

from services.domain.ports.openings import Openings
from services.retriever.learning.fitting import Learning
from services.retriever.scoring.caches import FrameCache, NeedleCache, VectorCache
from services.retriever.scoring.candidate_source import CandidateSource
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Sources:
    """What a plan reads from."""

    frames: FrameCache
    needles: NeedleCache
    vectors: VectorCache
    learning: Learning
    candidates: CandidateSource
    openings: Openings
    settings: Settings
