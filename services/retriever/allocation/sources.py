"""What the allocator reads from."""

from dataclasses import dataclass

from services.domain.ports.known_places import KnownPlaces
from services.domain.ports.openings import Openings
from services.retriever.allocation.needle_cache import NeedleCache
from services.retriever.caches import FrameCache, VectorCache
from services.retriever.learning.match_cache import MatchCache
from services.runtime.settings import Settings


@dataclass(frozen=True)
class Sources:
    """The stores behind their caches.

    Attributes
    ----------
    matches : whose verdicts on reannotated frames are the yields of families
    """

    frames: FrameCache
    needles: NeedleCache
    vectors: VectorCache
    matches: MatchCache
    openings: Openings
    known_places: KnownPlaces
    settings: Settings
