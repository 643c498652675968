"""The stores that the retriever uses, and their caches."""

from dataclasses import dataclass
from typing import Self

from services.domain.ports.budget_reports import BudgetReports
from services.domain.ports.epochs import EpochStore
from services.domain.ports.failure_models import FailureModelStore
from services.domain.ports.frames import FrameStore
from services.domain.ports.known_places import KnownPlaces
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleStore
from services.domain.ports.openings import Openings
from services.domain.ports.vectors import VectorReader
from services.retriever.allocation.haystack_size import HaystackSizeCache
from services.retriever.allocation.needle_cache import NeedleCache
from services.retriever.caches import FrameCache, VectorCache
from services.retriever.learning.match_cache import MatchCache
from services.runtime.settings import Settings


@dataclass(frozen=True)
class RetrieverStores:
    """Every store that the retriever reads or writes."""

    frames: FrameStore
    matches: MatchStore
    needles: NeedleStore
    vectors: VectorReader
    epochs: EpochStore
    models: FailureModelStore
    openings: Openings
    known_places: KnownPlaces
    budgets: BudgetReports


@dataclass(frozen=True)
class Sources:
    """What the stages read from: the stores behind their caches, and the settings.

    Attributes
    ----------
    matches : whose verdicts on reannotated frames are the yields of families
    size : the number of haystack frames
    """

    frames: FrameCache
    needles: NeedleCache
    vectors: VectorCache
    matches: MatchCache
    size: HaystackSizeCache
    openings: Openings
    known_places: KnownPlaces
    settings: Settings

    @classmethod
    def of(cls, stores: RetrieverStores, settings: Settings) -> Self:
        """Empty caches of these stores, with the bounds in the settings."""
        frames = FrameCache(stores.frames, settings.frame_cache_bytes)
        return cls(
            frames=frames,
            needles=NeedleCache(
                stores.needles, settings.needle_cache_bytes, of_misses=settings.lists_misses
            ),
            vectors=VectorCache(stores.vectors, settings.vector_cache_bytes),
            matches=MatchCache(stores.matches, frames, settings.match_cache_bytes),
            size=HaystackSizeCache(stores.vectors),
            openings=stores.openings,
            known_places=stores.known_places,
            settings=settings,
        )

    def forget(self) -> None:
        """Empty the caches of what other processes may have changed; vectors never change."""
        self.frames.forget_all()
        self.matches.forget_all()
        self.needles.forget_all()
        self.size.forget()
