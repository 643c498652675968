"""Loads what the stages of a detector know: as the last epoch recorded it, or from the stores."""

import asyncio
from typing import Final

import orjson

from services.contracts.identity import DetectorId, ModelId
from services.domain.ports.epochs import EpochStore
from services.domain.ports.frames import FrameStore
from services.domain.shortlists.epochs import Epoch
from services.domain.shortlists.scored_candidates import Limits
from services.retriever.allocation.detector_allocator import DetectorAllocator
from services.retriever.allocation.sources import Sources
from services.retriever.changelog import Changelog
from services.retriever.learning.fitted_models import FittedModels
from services.retriever.learning.learner import Learner
from services.retriever.scoring.candidate_source import CandidateSource
from services.retriever.scoring.miss_scorer import MissScorer, NoFailureModels
from services.retriever.scoring.scorer import Scorer
from services.retriever.stages import STATE, DetectorStages
from services.runtime.settings import Settings

_FORMAT: Final = 1
"""Raise it where a table changes, so that what was recorded in another form is not read."""
_MADE_BY: Final = "made_by"
"""The key of a row of STATE."""


class StagesLoader:
    """Loads detectors under an embedding model."""

    def __init__(
        self,
        sources: Sources,
        candidates: CandidateSource,
        models: FittedModels,
        frames: FrameStore,
        epochs: EpochStore,
    ) -> None:
        self._sources = sources
        self._candidates = candidates
        self._models = models
        self._frames = frames
        self._epochs = epochs

    async def recorded(self, last: Epoch, model: ModelId, limits: Limits) -> DetectorStages | None:
        """The stages of a detector as its last epoch left them; None if that is not recorded.

        Nor are they used under other settings than those that they were made by.
        """
        recorded = await self._epochs.changes(last.detector)
        changelog = await asyncio.to_thread(Changelog, recorded)
        if changelog.table(STATE).get(_MADE_BY) != _made_by(model, self._sources.settings):
            return None
        stages = self._stages(last.detector, model, limits, changelog)
        if not await stages.allocator.restore():
            return None
        stages.closed = last.number
        return stages

    async def read(
        self,
        detector: DetectorId,
        model: ModelId,
        limits: Limits,
        earlier: DetectorStages | None = None,
    ) -> DetectorStages:
        """The stages of a detector, with all that the stores have.

        Parameters
        ----------
        earlier : what they were before, from which they take how much was observed
        """
        changelog = Changelog()
        changelog.table(STATE)[_MADE_BY] = _made_by(model, self._sources.settings)
        stages = self._stages(detector, model, limits, changelog)
        if earlier is not None:
            stages.observed.update(earlier.observed)
        await stages.allocator.load(await self._sources.needles.all(detector))
        return stages

    def _stages(
        self, detector: DetectorId, model: ModelId, limits: Limits, changelog: Changelog
    ) -> DetectorStages:
        settings = self._sources.settings
        allocator = DetectorAllocator(self._sources, detector, model, limits, changelog)
        if settings.lists_misses:
            matches = self._sources.matches
            misses = MissScorer(detector, self._frames, matches, settings, changelog)
            return DetectorStages(NoFailureModels(), misses, allocator, model, changelog)
        learner = Learner(detector, self._models, changelog)
        scorer = Scorer(self._candidates, learner, settings, model, changelog)
        return DetectorStages(learner, scorer, allocator, model, changelog)


def _made_by(model: ModelId, settings: Settings) -> str:
    """Identifies the settings that candidates, families and models follow from."""
    named = {
        "family_likeness",
        "operating_score",
        "region_score",
        "shortlist_evidence",
        "shortlist_pool",
        "shortlist_strategy",
        "count_copies",
    }
    facts = settings.model_dump(mode="json", include=named)
    return orjson.dumps(
        [_FORMAT, model, repr(settings.split_rule), facts], option=orjson.OPT_SORT_KEYS
    ).decode()
