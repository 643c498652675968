"""Scores the haystack regions of one detector: their models, their worth, their candidates."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from services.contracts.identity import Category, FrameId, ModelId, RegionId
from services.domain.mining.detector_category import (
    CategoryModel,
    Haystack,
    ModeQuery,
    frame_worths,
    scored_candidates,
)
from services.domain.mining.failure_model import FailureMode
from services.domain.shortlists.frame_worths import FrameWorths
from services.domain.shortlists.scored_candidates import Key, ScoredCandidate
from services.domain.shortlists.strategies import STRATEGIES
from services.retriever import logic
from services.retriever.allocation.sources import Sources
from services.retriever.learning.fitting import FittedModel
from services.retriever.logic import DetectorCategory, FrameFacts
from services.runtime.progress import report_progress

_WORTHS_MAX = 200_000
"""Frames whose worth is kept, .4 kB each; of a frame that was dropped, only new regions count."""
_EXAMPLES_PER_EPOCH = 10_000
"""Examples that one epoch fits, at least one model. Five full models take some .7 s of a core."""

Exemplars = Callable[[DetectorCategory, FailureMode], ModeQuery]
"""The exemplars of a mode's families."""


@dataclass
class _Category:
    """A category with needles."""

    modes: set[FailureMode] = field(default_factory=set)
    fitted: FittedModel | None = None
    searched: set[FailureMode] = field(default_factory=set)
    """The modes that the haystack was searched for."""
    has_new_mode: bool = True
    """Whether a mode was added since the last fit."""

    @property
    def model(self) -> CategoryModel:
        assert self.fitted is not None
        return self.fitted.category_model


@dataclass(frozen=True)
class Scored:
    """What an epoch scored.

    Attributes
    ----------
    refitted : categories whose earlier candidates no longer count
    candidates : the new ones by failure mode
    """

    refitted: Collection[DetectorCategory]
    candidates: Mapping[Key, list[ScoredCandidate]]


class CategoryScores:
    """The failure models of a detector's categories, and what they make of the haystack."""

    def __init__(self, sources: Sources, model: ModelId) -> None:
        self._sources = sources
        self._settings = sources.settings
        self._strategy = STRATEGIES[sources.settings.shortlist_strategy]
        self._model = model
        self._categories: defaultdict[DetectorCategory, _Category] = defaultdict(_Category)
        self._worths: FrameWorths[DetectorCategory] = FrameWorths(_WORTHS_MAX)
        self.unfinished = False
        """Whether models wait for a refit that the last epoch had no time for."""

    def add_mode(self, detector_category: DetectorCategory, mode: FailureMode) -> None:
        """Note that a mode has needles."""
        category = self._categories[detector_category]
        category.has_new_mode |= mode not in category.modes
        category.modes.add(mode)

    def remove_mode(self, detector_category: DetectorCategory, mode: FailureMode) -> None:
        """Note that a mode has no needles any more."""
        category = self._categories[detector_category]
        category.modes.discard(mode)
        category.searched.discard(mode)
        if not category.modes:
            del self._categories[detector_category]

    def modes(self, detector_category: DetectorCategory) -> Collection[FailureMode]:
        """The modes of a category that have needles."""
        return sorted(self._categories[detector_category].modes, key=str)

    def modes_fitted_to(self, examples: int) -> set[Key]:
        """The modes of categories whose model has at least so many examples."""
        return {
            logic.key_of(detector_category, mode)
            for detector_category, category in self._categories.items()
            if category.fitted is not None and category.fitted.examples >= examples
            for mode in category.modes
        }

    def fitted(self, detector_category: DetectorCategory) -> FittedModel | None:
        """The model of a category; None before its first fit."""
        return self._categories[detector_category].fitted

    def model_ids(self) -> dict[Category, str]:
        """The id of each category's model."""
        return {
            category: of.fitted.model_id
            for (_, category), of in sorted(self._categories.items())
            if of.fitted is not None
        }

    def forget(self, frames: Collection[FrameId]) -> list[Key]:
        """Drop the worth of these frames; returns the modes that may have candidates on them."""
        return [
            logic.key_of(detector_category, mode)
            for detector_category in sorted(self._worths.forget(frames))
            if detector_category in self._categories
            for mode in self._categories[detector_category].modes
        ]

    async def update(
        self, frames: Mapping[FrameId, FrameFacts], exemplars: Exemplars, *, refresh: bool
    ) -> Scored:
        """Refit the models that are due, and score what is new to each model.

        Parameters
        ----------
        frames : the current facts of frames that were embedded or annotated again
        refresh : whether every model is due whose examples may have changed
        """
        refitted = await self._refit(refresh=refresh)
        fitted = {key for key, category in self._categories.items() if category.fitted is not None}
        new = await self._sources.candidates.for_frames(frames, fitted - refitted, self._model)
        found: list[tuple[DetectorCategory, Haystack]] = []
        for detector_category in sorted(fitted):
            report_progress()
            category = self._categories[detector_category]
            if detector_category in refitted:
                haystack = await self._search(detector_category, category.modes, exemplars)
                self._worths.forget_category(detector_category)
                self._worths.put(detector_category, self._frame_worths(category, haystack))
                found.append((detector_category, haystack))
                continue
            if detector_category in new:
                haystack = new[detector_category]
                self._worths.put(detector_category, self._frame_worths(category, haystack))
                found.append((detector_category, haystack))
            if missing := category.modes - category.searched:
                haystack = await self._search(detector_category, missing, exemplars)
                # Known worths win: the search may have missed some regions of a known frame.
                self._worths.add(detector_category, self._frame_worths(category, haystack))
                found.append((detector_category, haystack))
        return Scored(refitted, await asyncio.to_thread(self._candidates, found, exemplars))

    async def unsupported(
        self,
        detector_category: DetectorCategory,
        listed: Mapping[FailureMode, Mapping[FrameId, RegionId]],
        exemplars: Exemplars,
    ) -> set[FrameId]:
        """The frames of these listed regions that no longer have enough evidence."""
        frames: set[FrameId] = set()
        model = self._categories[detector_category].model.model
        for mode, of_mode in listed.items():
            regions = sorted((region, frame) for frame, region in of_mode.items())
            haystack = await self._sources.candidates.rows(regions, self._model)
            if not haystack.contexts:
                continue
            query = exemplars(detector_category, mode)
            evidence = model.evidence(mode, query.vectors, haystack.vectors, haystack.features)
            frames |= {
                context.frame
                for context, item in zip(haystack.contexts, evidence.tolist(), strict=True)
                if item < self._settings.shortlist_evidence
            }
        return frames

    async def _refit(self, *, refresh: bool) -> set[DetectorCategory]:
        """Fit new categories, those with new modes, then those with many new examples."""
        refitted: set[DetectorCategory] = set()
        spent = 0
        for detector_category in self._due(refresh=refresh):
            if spent >= _EXAMPLES_PER_EPOCH:
                break
            category = self._categories[detector_category]
            category.has_new_mode = False
            before = category.fitted
            category.fitted = await self._sources.learning.fit(detector_category, self._model)
            report_progress()
            if before is None or category.fitted.model_id != before.model_id:
                spent += category.fitted.examples
                refitted.add(detector_category)
        self.unfinished = bool(self._due(refresh=refresh))
        return refitted

    def _due(self, *, refresh: bool) -> list[DetectorCategory]:
        categories = sorted(self._categories.items())
        learning = self._sources.learning
        is_due = learning.is_outdated if refresh else learning.needs_refit
        ordered: list[Iterable[DetectorCategory]] = [
            (key for key, category in categories if category.fitted is None),
            (key for key, category in categories if category.has_new_mode),
            (key for key, _ in categories if is_due(key)),
        ]
        return list(dict.fromkeys(key for keys in ordered for key in keys))

    async def _search(
        self,
        detector_category: DetectorCategory,
        modes: Collection[FailureMode],
        exemplars: Exemplars,
    ) -> Haystack:
        """Search the haystack for regions that fail in these modes."""
        category = self._categories[detector_category]
        category.searched |= set(modes)
        vectors = {mode: exemplars(detector_category, mode).vectors for mode in modes}
        return await self._sources.candidates.search(
            detector_category, category.model.model.directions(vectors), self._model
        )

    def _candidates(
        self, found: Iterable[tuple[DetectorCategory, Haystack]], exemplars: Exemplars
    ) -> dict[Key, list[ScoredCandidate]]:
        candidates: defaultdict[Key, list[ScoredCandidate]] = defaultdict(list)
        for detector_category, haystack in found:
            category = self._categories[detector_category]
            worths = self._worths.totals(context.frame for context in haystack.contexts)
            queries = {mode: exemplars(detector_category, mode) for mode in category.modes}
            scored = scored_candidates(
                category.model, haystack, queries, worths, self._settings.shortlist_evidence
            )
            for mode, of_mode in scored.items():
                candidates[logic.key_of(detector_category, mode)] += of_mode
        return candidates

    def _frame_worths(self, category: _Category, haystack: Haystack) -> dict[FrameId, float]:
        return frame_worths(category.model, haystack, self._strategy)
