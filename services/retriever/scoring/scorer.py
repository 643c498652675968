"""The scorer, second of three stages: from failure models and haystack regions to candidates.

New regions are scored by the current models. When a model changes, the haystack is searched again
along the new model's discriminant, and what the old one found no longer counts. A region's scores
depend on its frame, its model and the exemplars alone, so frames may be scored in any order.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from services.contracts.identity import Category, FrameId, ModelId, RegionId
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Method
from services.domain.shortlists.candidate_scoring import (
    CategoryModel,
    Haystack,
    ModeQuery,
    frame_worths,
    scored_candidates,
)
from services.domain.shortlists.frame_worths import FrameWorths
from services.domain.shortlists.scored_candidates import Key, ScoredCandidate
from services.domain.shortlists.strategies import STRATEGIES
from services.retriever import logic
from services.retriever.changelog import Changelog, TableSpec
from services.retriever.learning.fitted_models import FittedModel
from services.retriever.logic import DetectorCategory, FrameFacts
from services.retriever.scoring.candidate_source import CandidateSource
from services.runtime.progress import report_progress
from services.runtime.settings import Settings


class ModelSource(Protocol):
    """Where the scorer gets models from."""

    async def model(self, detector_category: DetectorCategory, model: ModelId) -> FittedModel:
        """The current failure model of a category under an embedding model."""
        ...


class Queries(Protocol):
    """What is searched for: the needles of a detector, by failure mode."""

    def modes(self) -> Mapping[DetectorCategory, Collection[FailureMode]]:
        """The modes with needles of each category."""
        ...

    def joined(self) -> Mapping[DetectorCategory, AbstractSet[FailureMode]]:
        """The modes that had no needle before this epoch, or for a while in it."""
        ...

    def exemplars(self, detector_category: DetectorCategory, mode: FailureMode) -> ModeQuery:
        """The families of a mode, each with its exemplar."""
        ...


class FittedTo(NamedTuple):
    """How evidence for a mode is computed, and how many examples its model was fitted to."""

    method: Method
    examples: int


@dataclass(frozen=True)
class Scored:
    """What the scorer hands to the allocator at the end of an epoch.

    Attributes
    ----------
    model_ids : the models by which all candidates so far were scored
    rescored : categories whose earlier candidates on the epoch's frames no longer count
    replaced : categories whose earlier candidates no longer count, because their model changed
    candidates : the new ones by failure mode
    fits : what these modes were scored with
    """

    model_ids: Mapping[Category, str]
    rescored: Collection[DetectorCategory]
    replaced: Collection[DetectorCategory]
    candidates: Mapping[Key, list[ScoredCandidate]]
    fits: Mapping[Key, FittedTo]


@dataclass(frozen=True)
class _Category:
    """What a category was last scored with, and the modes that the haystack was searched for."""

    model_id: str | None = None
    searched: frozenset[FailureMode] = frozenset()


_NOT_SCORED = _Category()
CATEGORIES: TableSpec[Category, _Category] = TableSpec("scored_categories", Category, _Category)
WORTHS: TableSpec[FrameId, float] = TableSpec("worths", FrameId, float)
"""A table per category. Of a frame that was dropped from it, only new regions count."""


class Scorer:
    """Scores the haystack regions of one detector under one embedding model."""

    def __init__(
        self,
        candidates: CandidateSource,
        models: ModelSource,
        settings: Settings,
        model: ModelId,
        changelog: Changelog,
    ) -> None:
        self._source = candidates
        self._models = models
        self._settings = settings
        self._strategy = STRATEGIES[settings.shortlist_strategy]
        self._model = model
        self._categories = changelog.table(CATEGORIES)
        self._worths = FrameWorths(
            settings.worth_cache_bytes,
            lambda category: changelog.table(WORTHS, category),
            self._categories,
        )

    async def score(
        self,
        model_ids: Mapping[DetectorCategory, str],
        frames: Mapping[FrameId, FrameFacts],
        queries: Queries,
    ) -> Scored:
        """Score what is new to each model, and everything with a model that is new.

        Parameters
        ----------
        model_ids : of the current models; categories without one are not scored yet
        frames : the current facts of frames that were embedded or annotated again
        """
        modes, names = queries.modes(), self._worths.forget(frames.keys())
        for gone in self._categories.keys() - {category for _, category in modes}:
            del self._categories[gone]
            self._worths.forget_category(gone)
        joined = queries.joined()
        for (_, category), of_category in joined.items():
            if (scored := self._categories.get(category)) is not None:
                searched = scored.searched - of_category
                self._categories[category] = replace(scored, searched=searched)
        changed = {
            category
            for category, id_ in model_ids.items()
            if self._scored(category).model_id != id_
        }
        new = await self._source.for_frames(frames, model_ids.keys() - changed, self._model)
        found: list[_Found] = []
        # Only these: an epoch must not cost more because there are more categories.
        for detector_category in sorted(model_ids.keys() & (changed | new.keys() | joined.keys())):
            report_progress()
            fitted = await self._models.model(detector_category, self._model)
            regions = new.get(detector_category)
            found += await self._found(detector_category, fitted, regions, queries)
        candidates = await asyncio.to_thread(self._candidates, found, queries)
        return Scored(
            model_ids=self._model_ids(),
            rescored={category for category in modes if category[1] in names},
            replaced={item.detector_category for item in found if item.replaces},
            candidates=candidates,
            fits={key: fit for item in found for key, fit in _fits(item, queries).items()},
        )

    async def follow(self, frames: Collection[FrameId]) -> None:
        """Nothing: what is known of frames is in the changelog."""

    async def unsupported(
        self,
        detector_category: DetectorCategory,
        listed: Mapping[FailureMode, Mapping[FrameId, RegionId]],
        queries: Queries,
    ) -> set[FrameId]:
        """The frames of these listed regions that no longer have enough evidence."""
        frames: set[FrameId] = set()
        fitted = await self._models.model(detector_category, self._model)
        model = fitted.category_model.model
        for mode, of_mode in listed.items():
            regions = sorted((region, frame) for frame, region in of_mode.items())
            haystack = await self._source.rows(regions, self._model)
            if not haystack.contexts:
                continue
            exemplars = queries.exemplars(detector_category, mode)
            evidence = model.evidence(mode, exemplars.vectors, haystack.vectors, haystack.features)
            frames |= {
                context.frame
                for context, item in zip(haystack.contexts, evidence.tolist(), strict=True)
                if item < self._settings.shortlist_evidence
            }
        return frames

    async def _found(
        self,
        detector_category: DetectorCategory,
        fitted: FittedModel,
        regions: Haystack | None,
        queries: Queries,
    ) -> list["_Found"]:
        """What the epoch scores of a category, and what each frame is worth by it.

        Parameters
        ----------
        regions : on new frames; None if there are none
        """
        scored, model = self._scored(detector_category), fitted.category_model
        modes = frozenset(queries.modes()[detector_category])
        _, category = detector_category
        if fitted.model_id != scored.model_id:
            haystack = await self._search(detector_category, modes, model, queries)
            self._worths.forget_category(category)
            self._worths.put(category, frame_worths(model, haystack, self._strategy))
            self._categories[category] = _Category(fitted.model_id, modes)
            return [_Found(detector_category, fitted, haystack, replaces=True)]
        found = []
        if regions is not None:
            self._worths.put(category, frame_worths(model, regions, self._strategy))
            found.append(_Found(detector_category, fitted, regions))
        if missing := modes - scored.searched:
            haystack = await self._search(detector_category, missing, model, queries)
            # Known worths win: the search may have missed some regions of a known frame.
            self._worths.add(category, frame_worths(model, haystack, self._strategy))
            self._categories[category] = replace(scored, searched=modes)
            found.append(_Found(detector_category, fitted, haystack))
        return found

    def _scored(self, detector_category: DetectorCategory) -> _Category:
        _, category = detector_category
        return self._categories.get(category, _NOT_SCORED)

    async def _search(
        self,
        detector_category: DetectorCategory,
        modes: Collection[FailureMode],
        model: CategoryModel,
        queries: Queries,
    ) -> Haystack:
        """Search the haystack for regions that fail in these modes."""
        vectors = {mode: queries.exemplars(detector_category, mode).vectors for mode in modes}
        directions = model.model.directions(vectors)
        return await self._source.search(detector_category, directions, self._model)

    def _candidates(
        self, found: Iterable["_Found"], queries: Queries
    ) -> dict[Key, list[ScoredCandidate]]:
        candidates: defaultdict[Key, list[ScoredCandidate]] = defaultdict(list)
        for item in found:
            category, haystack = item.detector_category, item.haystack
            worths = self._worths.totals(context.frame for context in haystack.contexts)
            exemplars = {
                mode: queries.exemplars(category, mode) for mode in queries.modes()[category]
            }
            scored = scored_candidates(
                item.fitted.category_model,
                haystack,
                exemplars,
                worths,
                self._settings.shortlist_evidence,
            )
            for mode, of_mode in scored.items():
                candidates[logic.key_of(category, mode)] += of_mode
        return candidates

    def _model_ids(self) -> dict[Category, str]:
        return {
            name: category.model_id
            for name, category in sorted(self._categories.items())
            if category.model_id is not None
        }


@dataclass(frozen=True)
class _Found:
    """Regions of a category that an epoch scores.

    Attributes
    ----------
    replaces : whether they replace everything found before, because the model is new
    """

    detector_category: DetectorCategory
    fitted: FittedModel
    haystack: Haystack
    replaces: bool = False


def _fits(found: _Found, queries: Queries) -> dict[Key, FittedTo]:
    """What the modes of a category were scored with."""
    category, fitted = found.detector_category, found.fitted
    model = fitted.category_model.model
    return {
        logic.key_of(category, mode): FittedTo(model.method(mode), fitted.examples)
        for mode in queries.modes()[category]
    }
