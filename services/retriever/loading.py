"""Loads the state of a detector's stages: as the last epoch recorded it, or from the stores."""

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson

from services.contracts.identity import DetectorId, FrameId, ModelId, NeedleId
from services.domain.ports.needles import NeedleRecord
from services.domain.shortlists.epochs import Epoch
from services.domain.shortlists.scored_candidates import Limits
from services.retriever.allocation.detector_allocator import DetectorAllocator
from services.retriever.changelog import Before, Changelog
from services.retriever.learning.fitted_models import FittedModels
from services.retriever.learning.learner import Learner
from services.retriever.logic import FrameFacts
from services.retriever.scoring.candidate_source import CandidateSource
from services.retriever.scoring.miss_scorer import MissScorer, NoFailureModels
from services.retriever.scoring.scorer import Scorer
from services.retriever.sources import RetrieverStores, Sources
from services.retriever.stages import STATE, DetectorStages, FrameScorer, detector_of
from services.runtime.settings import Settings

_MADE_BY: Final = "made_by"
"""The key of a row of STATE."""


class StagesLoader:
    """Loads detectors under an embedding model."""

    def __init__(self, stores: RetrieverStores, sources: Sources, models: FittedModels) -> None:
        self._frames = stores.frames
        self._epochs = stores.epochs
        self._sources = sources
        self._models = models
        self._candidates = CandidateSource(
            sources.frames, stores.vectors, sources.vectors, sources.settings
        )

    async def recorded(self, last: Epoch, model: ModelId, limits: Limits) -> DetectorStages | None:
        """The stages of a detector as its last epoch left them; None if that is not recorded.

        A record that other settings produced is not used.
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

    async def followed(
        self, stages: DetectorStages, last: Epoch, limits: Limits
    ) -> DetectorStages | None:
        """The stages after the epochs that other processes closed; None if these left no record.

        What these epochs changed in the stores is read again.

        Parameters
        ----------
        stages : as the epoch that they closed left them; they are not used any more
        """
        recorded = await self._epochs.changes(last.detector, stages.closed)
        made_by = stages.state.get(_MADE_BY)
        if len(recorded) < last.number - stages.closed:
            return None
        frames: dict[FrameId, bool] = {}
        labelled: set[FrameId] = set()
        needles: set[NeedleId] = set()
        before: Before = {}
        for changes in recorded:
            for name, rows in stages.changelog.follow([changes]).items():
                before[name] = rows | before.get(name, {})
            frames |= stages.frames
            labelled |= stages.labelled.keys()
            needles |= stages.needles.keys()
        if stages.state.get(_MADE_BY) != made_by:
            return None
        self._sources.frames.forget(frames)
        self._sources.size.note(frame for frame, is_haystack in frames.items() if is_haystack)
        await self._sources.needles.refresh(needles)
        await self._sources.matches.follow(labelled)
        following = self._stages(
            last.detector, stages.model, limits, stages.changelog, stages.scorer
        )
        await following.scorer.follow(frames)
        following.closed = last.number
        if not await following.allocator.restore():
            return None
        following.allocator.adopt(stages.allocator, before)
        return following

    async def read(
        self,
        detector: DetectorId,
        model: ModelId,
        limits: Limits,
        earlier: DetectorStages | None = None,
        records: Sequence[NeedleRecord] = (),
    ) -> DetectorStages:
        """The stages of a detector, with all that the stores have.

        Parameters
        ----------
        earlier : what they were before, from which they take how much was observed and their
            needles: the store may have others already that no epoch has consumed
        records : the needles of this epoch
        """
        changelog = Changelog()
        changelog.table(STATE)[_MADE_BY] = _made_by(model, self._sources.settings)
        stages = self._stages(detector, model, limits, changelog)
        if earlier is None:
            needles = await self._sources.needles.all(detector)
        else:
            stages.observed.update(earlier.observed)
            known = earlier.allocator.needles.known
            known |= {record.needle_id for record in records if detector_of(record) == detector}
            found = await self._sources.needles.load(known)
            needles = [found[needle_id] for needle_id in sorted(found)]
        await self._load_drawn(stages, detector, earlier)
        await stages.allocator.load(needles)
        return stages

    async def _load_drawn(
        self, stages: DetectorStages, detector: DetectorId, earlier: DetectorStages | None
    ) -> None:
        """Draw among all frames, or take over what was drawn."""
        settings, allocator = self._sources.settings, stages.allocator
        draws = bool(settings.sampled_share)
        if draws and earlier is not None:
            allocator.drawn.take_over(earlier.allocator.drawn)
            draws = False
        if not draws and not settings.divides_budget:
            return
        async for records in self._frames.predicted(detector):
            facts = {
                frame_facts.context.frame: frame_facts
                for frame_facts in map(FrameFacts.of, records)
                if frame_facts is not None
            }
            if draws:
                allocator.drawn.note(facts)
            if settings.divides_budget:
                allocator.division.note(facts)

    def _stages(
        self,
        detector: DetectorId,
        model: ModelId,
        limits: Limits,
        changelog: Changelog,
        earlier: FrameScorer | None = None,
    ) -> DetectorStages:
        settings = self._sources.settings
        allocator = DetectorAllocator(self._sources, detector, model, limits, changelog)
        if settings.lists_misses:
            matches = self._sources.matches
            table = earlier.table if isinstance(earlier, MissScorer) else None
            misses = MissScorer(detector, self._frames, matches, settings, changelog, table=table)
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
    # Only if they are set, so that what was recorded before there were these settings is read.
    if settings.operating_score_of:
        named.add("operating_score_of")
    if settings.sampled_share or settings.divides_budget:
        named |= {"sampled_share", "shortlist_budget"}
    facts = settings.model_dump(mode="json", include=named)
    return orjson.dumps(
        [model, repr(settings.split_rule), facts], option=orjson.OPT_SORT_KEYS
    ).decode()
