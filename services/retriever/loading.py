"""Loads the state of a detector's stages, from records of epochs or from the stores.

`detectors.py` lists the four ways, and decides between them.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson

from services.contracts.identity import DetectorId, FrameId, ModelId, NeedleId
from services.domain.ports.needles import NeedleRecord
from services.domain.shortlists.epochs import Epoch
from services.domain.shortlists.scored_candidates import Limits
from services.retriever.allocation.budgets import limits_at
from services.retriever.allocation.detector_allocator import DetectorAllocator
from services.retriever.allocation.divided_budget import DividedBudget
from services.retriever.allocation.drawn_frames import DrawnFrames
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

    async def recorded(self, last: Epoch, model: ModelId) -> DetectorStages | None:
        """The stages of a detector as its last epoch left them; None if that is not recorded.

        A record that other settings produced is not used.
        """
        # Whatever other processes' epochs changed may be cached as it was before.
        self._sources.forget()
        recorded = await self._epochs.changes(last.detector)
        changelog = await asyncio.to_thread(Changelog, recorded)
        if changelog.table(STATE).get(_MADE_BY) != _made_by(model, self._sources.settings):
            return None
        limits = limits_at(last, self._sources.settings)
        stages = self._stages(last.detector, model, limits, changelog)
        if not await stages.allocator.restore():
            return None
        stages.closed = last.number
        return stages

    async def followed(self, stages: DetectorStages, last: Epoch) -> DetectorStages | None:
        """The stages after the epochs that other processes closed; None if these left no record.

        What these epochs changed in the stores is read again.

        Parameters
        ----------
        stages : as an earlier epoch recorded them; they are not used any more
        """
        recorded = await self._epochs.changes(last.detector, stages.closed)
        made_by = stages.state.get(_MADE_BY)
        if len(recorded) < last.number - stages.closed:
            return None
        frames: set[FrameId] = set()
        haystack: set[FrameId] = set()
        labelled: set[FrameId] = set()
        needles: set[NeedleId] = set()
        before: Before = {}
        for changes in recorded:
            for name, rows in stages.changelog.follow([changes]).items():
                before[name] = rows | before.get(name, {})
            frames |= stages.frames.keys()
            haystack |= {frame for frame, is_new in stages.frames.items() if is_new}
            labelled |= stages.labelled.keys()
            needles |= stages.needles.keys()
        if stages.state.get(_MADE_BY) != made_by:
            return None
        self._sources.frames.forget(frames)
        self._sources.size.note(haystack)
        await self._sources.needles.refresh(needles)
        await self._sources.matches.follow(labelled)
        limits = limits_at(last, self._sources.settings)
        following = self._stages(
            last.detector, stages.model, limits, stages.changelog, stages.scorer
        )
        await following.scorer.follow(frames)
        following.closed = last.number
        if not await following.allocator.restore():
            return None
        following.allocator.adopt(stages.allocator, before)
        return following

    async def read(self, detector: DetectorId, model: ModelId, limits: Limits) -> DetectorStages:
        """The stages of a detector of which nothing is known, with all that the stores have."""
        stages = self._empty(detector, model, limits)
        await self._draw(detector, stages.allocator)
        await stages.allocator.load(await self._sources.needles.all(detector))
        return stages

    async def read_again(
        self,
        earlier: DetectorStages,
        detector: DetectorId,
        model: ModelId,
        limits: Limits,
        records: Sequence[NeedleRecord],
    ) -> DetectorStages:
        """The stages of a detector that is known, computed again from what the stores have now.

        Parameters
        ----------
        earlier : what they were before, from which they take what was drawn, how much was observed,
            and their needles: the store may have others already that no epoch has consumed
        records : the needles of the next epoch
        """
        stages = self._empty(detector, model, limits)
        stages.observed.update(earlier.observed)
        allocator, known = stages.allocator, earlier.allocator
        if self._sources.settings.sampled_share:
            allocator.drawn.take_over(known.drawn)
        # Frames too that were consumed by processes before they knew the detector.
        await self._draw(detector, allocator)
        of_epoch = {record.needle_id for record in records if detector_of(record) == detector}
        found = await self._sources.needles.load(known.needles.known | of_epoch)
        await allocator.load([found[needle_id] for needle_id in sorted(found)])
        return stages

    def _empty(self, detector: DetectorId, model: ModelId, limits: Limits) -> DetectorStages:
        changelog = Changelog()
        changelog.table(STATE)[_MADE_BY] = _made_by(model, self._sources.settings)
        return self._stages(detector, model, limits, changelog)

    async def _draw(self, detector: DetectorId, allocator: DetectorAllocator) -> None:
        """Draw among all frames that the detector has predicted, where frames are drawn."""
        draws: list[DrawnFrames | DividedBudget] = []
        if self._sources.settings.sampled_share:
            draws.append(allocator.drawn)
        if self._sources.settings.divides_budget:
            draws.append(allocator.division)
        if not draws:
            return
        async for records in self._frames.predicted(detector):
            facts = {
                frame_facts.context.frame: frame_facts
                for frame_facts in map(FrameFacts.of, records)
                if frame_facts is not None
            }
            for draw in draws:
                draw.note(facts)

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
            table = earlier.loaded_table if isinstance(earlier, MissScorer) else None
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
