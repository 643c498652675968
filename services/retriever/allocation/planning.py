"""Plans the shortlists of one detector: fully from the stores, then incrementally from events."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.contracts.events import Candidate, NeedleFound, Provenance, ShortlistPublished
from services.contracts.identity import DetectorId, FamilyId, FrameId, ModelId, NeedleId, RegionId
from services.domain.mining.detector_category import (
    CategoryModel,
    Haystack,
    ModeQuery,
    frame_worths,
    scored_candidates,
)
from services.domain.mining.failure_model import FailureMode, Method
from services.domain.ports.needles import NeedleRecord
from services.domain.ports.vectors import Vector
from services.domain.shortlists.allocation import BudgetAllocator
from services.domain.shortlists.scored_candidates import Assignment, Limits
from services.domain.shortlists.strategies import STRATEGIES
from services.retriever import logic
from services.retriever.allocation.budgets import budget_report, limits_of
from services.retriever.allocation.family_index import FamilyIndex, Verdict
from services.retriever.allocation.sources import Sources
from services.retriever.logic import DetectorCategory, FrameFacts
from services.runtime.progress import report_progress
from services.runtime.settings import Settings
from services.runtime.stores.budget_reports import BudgetReport

_WORTHS_MAX = 50_000
"""Frames per category whose worth is kept; beyond it, only those of current candidates."""


@dataclass
class _CategoryPlan:
    """A category with needles: their modes, its model, and the worth of haystack frames."""

    modes: set[FailureMode] = field(default_factory=set)
    category_model: CategoryModel | None = None
    worths: dict[FrameId, float] = field(default_factory=dict)
    """The worth of each frame by its regions of this category."""
    searched: set[FailureMode] = field(default_factory=set)
    """The modes that the haystack was searched for."""
    has_new_mode: bool = True
    """Whether a mode was added since the last fit began."""


class DetectorPlan:
    """The shortlists of one detector under one embedding model."""

    def __init__(self, sources: Sources, model: ModelId) -> None:
        self._sources = sources
        self._settings = sources.settings
        self._strategy = STRATEGIES[sources.settings.shortlist_strategy]
        self._model = model
        self._allocator = BudgetAllocator()
        self._categories: defaultdict[DetectorCategory, _CategoryPlan] = defaultdict(_CategoryPlan)
        self._mode_of: dict[NeedleId, tuple[DetectorCategory, FailureMode]] = {}
        self._not_embedded: dict[RegionId, NeedleId] = {}
        self._family_index = FamilyIndex(sources.settings.family_likeness)

    @property
    def waiting(self) -> Collection[NeedleId]:
        """Needles whose region is not embedded yet."""
        return self._not_embedded.values()

    async def plan(self, records: Sequence[NeedleRecord]) -> list[ShortlistPublished]:
        """Plan the shortlists of all active needles of the detector; returns those that change.

        The plan depends only on what is stored. A needle whose region is not embedded yet waits
        and keeps its shortlist. Call this once, before `extend`.
        """
        await self._admit(records)
        limits = await self._limits()
        await self._keep(records, limits)
        await self._update_candidates({}, await self._fitted_models(sorted(self._categories)))
        assignments = await asyncio.to_thread(self._allocator.allocate, limits)
        return await self._shortlists(list(self._mode_of), assignments)

    async def extend(
        self, records: Sequence[NeedleRecord], frames: Mapping[FrameId, FrameFacts]
    ) -> list[ShortlistPublished]:
        """Update the shortlists incrementally; returns those that change.

        Listed frames stay unless their evidence is gone. Models are refitted in the background;
        until a refit is done, the previous model is used.

        Parameters
        ----------
        records : needles of the detector that are new, changed or retracted
        frames : the current facts of frames that were embedded or annotated again
        """
        changed = self._drop_stale(frames)
        for record in records:
            if not record.active:
                self._remove_needle(record.needle_id, record.needle)
        embedded_now = [
            self._not_embedded[r] for r in self._embedded(frames) if r in self._not_embedded
        ]
        await self._admit(
            [record for record in records if record.active]
            + [self._sources.needles.get(needle_id) for needle_id in embedded_now]
        )
        changed |= await self._update_candidates(frames, await self._updated_models())
        limits = await self._limits()
        assignments = await asyncio.to_thread(self._allocator.allocate, limits)
        changed |= {assignment.needle for assignment in assignments}
        return await self._shortlists(changed & self._mode_of.keys(), assignments)

    async def _fitted_models(
        self, detector_categories: Iterable[DetectorCategory]
    ) -> dict[DetectorCategory, CategoryModel]:
        """The models of these categories, fitted to all that is stored."""
        models = {}
        for detector_category in detector_categories:
            self._categories[detector_category].has_new_mode = False
            models[detector_category] = await self._sources.learning.of(
                detector_category, self._model
            )
            report_progress()
        return models

    async def _updated_models(self) -> dict[DetectorCategory, CategoryModel]:
        """Models of new categories and of finished refits; starts the next refit.

        One refit runs at a time, because it competes with needles and embeddings for the CPU.
        """
        learning = self._sources.learning
        new = [
            detector_category
            for detector_category, plan in sorted(self._categories.items())
            if plan.category_model is None
        ]
        models = await self._fitted_models(new)
        next_ = None if learning.busy else self._next_refit()
        if next_ is not None:
            self._categories[next_].has_new_mode = False
            await learning.begin(next_, self._model)
        finished = {
            detector_category: learning.finished(detector_category)
            for detector_category in sorted(self._categories)
        }
        return models | {
            detector_category: model
            for detector_category, model in finished.items()
            if model is not None
        }

    def _next_refit(self) -> DetectorCategory | None:
        """The category to refit next: one with a new mode, else one with many observations."""
        plans = sorted(self._categories.items())
        new_modes = (detector_category for detector_category, plan in plans if plan.has_new_mode)
        refit = (
            detector_category
            for detector_category, _ in plans
            if self._sources.learning.needs_refit(detector_category)
        )
        return next(new_modes, None) or next(refit, None)

    async def report(self, detector: DetectorId) -> BudgetReport:
        """How much of the budgets is spent now, and which frames they hold back."""
        limits = await self._limits()
        held = await asyncio.to_thread(self._allocator.held_back, limits)
        return budget_report(detector, limits.budgets, self._allocator.spent(), held)

    async def _admit(self, records: Iterable[NeedleRecord]) -> None:
        """Add the needles whose regions are embedded; the others wait."""
        found = {record.needle_id: record.needle for record in records if record.needle is not None}
        regions = [item.region_id for item in found.values()]
        vectors = await self._sources.vectors.load(self._model, regions)
        joining = []
        for needle_id, needle in sorted(found.items()):
            if needle.region_id not in vectors:
                self._not_embedded[needle.region_id] = needle_id
                continue
            self._not_embedded.pop(needle.region_id, None)
            category_mode = (
                _detector_category_of(needle),
                FailureMode.of(needle.error_type, needle.true_category),
            )
            if self._mode_of.get(needle_id, category_mode) != category_mode:
                self._remove_needle(needle_id, needle)
            if needle_id not in self._mode_of:
                joining.append((logic.key_of(*category_mode), needle))
            self._add_needle(needle_id, category_mode, vectors[needle.region_id])
        self._family_index.join(joining, vectors)

    def _add_needle(
        self,
        needle_id: NeedleId,
        category_mode: tuple[DetectorCategory, FailureMode],
        vector: Vector,
    ) -> None:
        self._mode_of[needle_id] = category_mode
        self._allocator.add_needle(logic.key_of(*category_mode), needle_id, vector)
        plan, mode = self._categories[category_mode[0]], category_mode[1]
        plan.has_new_mode |= mode not in plan.modes
        plan.modes.add(mode)

    def _remove_needle(self, needle_id: NeedleId, needle: NeedleFound | None) -> None:
        if needle is not None:
            self._not_embedded.pop(needle.region_id, None)
        if needle_id not in self._mode_of:
            return
        detector_category, mode = self._mode_of.pop(needle_id)
        self._allocator.remove_needle(needle_id)
        if not self._allocator.needles(logic.key_of(detector_category, mode)):
            self._categories[detector_category].modes.discard(mode)
            self._categories[detector_category].searched.discard(mode)
        if not self._categories[detector_category].modes:
            del self._categories[detector_category]

    async def _keep(self, records: Iterable[NeedleRecord], limits: Limits) -> None:
        """Keep reannotated frames on their shortlists, and compute the yields of families."""
        reannotated = await self._sources.frames.reannotated()
        kept = [
            (record.needle_id, candidate)
            for record in records
            if record.needle_id in self._mode_of
            for candidate in logic.kept_candidates(record, reannotated)
        ]
        facts = await self._sources.frames.load({item.frame_id for _, item in kept})
        vectors = await self._sources.vectors.load(
            self._model, [item.region_id for _, item in kept]
        )
        detector_categories = {self._mode_of[needle_id][0] for needle_id, _ in kept}
        truths = {
            detector_category: await self._sources.learning.truths(detector_category)
            for detector_category in detector_categories
        }
        verdicts = []
        for needle_id, item in kept:
            detector_category, mode = self._mode_of[needle_id]
            family = self._family(detector_category, mode, needle_id, vectors.get(item.region_id))
            if item.frame_id in facts:
                self._allocator.keep(needle_id, facts[item.frame_id].context, family, limits)
            if item.region_id in truths[detector_category]:
                verdicts.append(
                    Verdict(family, confirmed=truths[detector_category][item.region_id] == mode)
                )
        self._family_index.judge(verdicts)

    def _family(
        self,
        detector_category: DetectorCategory,
        mode: FailureMode,
        needle_id: NeedleId,
        vector: Vector | None,
    ) -> FamilyId:
        """The family that a listed region counts for; the needle's own if it has no vector."""
        if vector is None:
            return self._family_index.family_of(needle_id)
        return self._mode_query(detector_category, mode).families_of(vector[None])[0]

    def _mode_query(self, detector_category: DetectorCategory, mode: FailureMode) -> ModeQuery:
        key = logic.key_of(detector_category, mode)
        return self._family_index.mode_query(
            self._allocator.needles(key), self._allocator.vectors(key)
        )

    def _embedded(self, frames: Mapping[FrameId, FrameFacts]) -> list[RegionId]:
        return [region for facts in frames.values() for region in facts.regions]

    def _drop_stale(self, frames: Mapping[FrameId, FrameFacts]) -> set[NeedleId]:
        """Drop what is known of these frames; returns the needles whose shortlists lose one."""
        for detector_category, plan in self._categories.items():
            known = plan.worths.keys() & frames.keys()
            for frame in known:
                del plan.worths[frame]
            if known:
                for mode in plan.modes:
                    self._allocator.remove_candidates(logic.key_of(detector_category, mode), known)
        changed = set()
        for frame, facts in frames.items():
            owner = self._allocator.owner(frame)
            if owner is None or facts.reannotated:
                continue
            listed = logic.listed(self._sources.needles.get(owner))
            if not any(candidate.region_id in facts.regions for candidate in listed):
                changed.add(self._allocator.release(frame))
        return changed

    async def _update_candidates(
        self, frames: Mapping[FrameId, FrameFacts], models: Mapping[DetectorCategory, CategoryModel]
    ) -> set[NeedleId]:
        """Add candidates of these frames, and replace those of refitted categories.

        Returns the needles whose shortlists shrink by it.
        """
        found: list[tuple[DetectorCategory, Haystack]] = []
        changed: set[NeedleId] = set()
        new_regions = await self._sources.candidates.for_frames(
            frames, self._categories.keys() - models.keys(), self._model
        )
        for detector_category, plan in self._categories.items():
            report_progress()
            if detector_category in models:
                plan.category_model = models[detector_category]
                found.append(
                    (
                        detector_category,
                        await self._replace_candidates(detector_category, plan.category_model),
                    )
                )
                changed |= await self._drop_unsupported(detector_category)
                continue
            assert plan.category_model is not None
            if detector_category in new_regions:
                plan.worths |= frame_worths(
                    plan.category_model, new_regions[detector_category], self._strategy
                )
                found.append((detector_category, new_regions[detector_category]))
            if new := plan.modes - plan.searched:
                more = await self._search(detector_category, plan.category_model, new)
                # Known worths win: the search may have missed some regions of a known frame.
                plan.worths = frame_worths(plan.category_model, more, self._strategy) | plan.worths
                found.append((detector_category, more))
        await asyncio.to_thread(self._add_candidates, found)
        return changed

    async def _replace_candidates(
        self, detector_category: DetectorCategory, category_model: CategoryModel
    ) -> Haystack:
        """Search with a refitted model, and drop the earlier candidates."""
        plan = self._categories[detector_category]
        haystack = await self._search(detector_category, category_model, plan.modes)
        for mode in plan.modes:
            self._allocator.remove_all_candidates(logic.key_of(detector_category, mode))
        plan.worths = frame_worths(category_model, haystack, self._strategy)
        return haystack

    async def _search(
        self,
        detector_category: DetectorCategory,
        category_model: CategoryModel,
        modes: Collection[FailureMode],
    ) -> Haystack:
        """Search the haystack for regions that fail in these modes."""
        needles = {
            mode: self._allocator.vectors(logic.key_of(detector_category, mode)) for mode in modes
        }
        self._categories[detector_category].searched |= needles.keys()
        return await self._sources.candidates.search(
            detector_category, category_model.model.directions(needles), self._model
        )

    async def _drop_unsupported(self, detector_category: DetectorCategory) -> set[NeedleId]:
        """Take frames without enough evidence off shortlists; returns the needles."""
        plan = self._categories[detector_category]
        assert plan.category_model is not None
        changed = set()
        for mode in sorted(plan.modes, key=str):
            key = logic.key_of(detector_category, mode)
            listed = [
                (candidate.region_id, candidate.frame_id)
                for needle_id in self._allocator.needles(key)
                for candidate in logic.listed(self._sources.needles.get(needle_id))
                if self._allocator.owner(candidate.frame_id) == needle_id
            ]
            haystack = await self._sources.candidates.rows(listed, self._model)
            if not haystack.contexts:
                continue
            evidence = plan.category_model.model.evidence(
                mode, self._allocator.vectors(key), haystack.vectors, haystack.features
            )
            for context, item in zip(haystack.contexts, evidence.tolist(), strict=True):
                if item < self._settings.shortlist_evidence:
                    changed.add(self._allocator.release(context.frame))
        return changed

    def _add_candidates(self, found: Iterable[tuple[DetectorCategory, Haystack]]) -> None:
        for detector_category, haystack in found:
            plan = self._categories[detector_category]
            assert plan.category_model is not None
            worths = {
                context.frame: sum(
                    category_plan.worths.get(context.frame, 0.0)
                    for category_plan in self._categories.values()
                )
                for context in haystack.contexts
            }
            all_queries = {mode: self._mode_query(detector_category, mode) for mode in plan.modes}
            queries = {mode: query for mode, query in all_queries.items() if query.families}
            evidence_min = self._settings.shortlist_evidence
            for mode, candidates in scored_candidates(
                plan.category_model, haystack, queries, worths, evidence_min
            ).items():
                self._allocator.add_candidates(logic.key_of(detector_category, mode), candidates)
            self._forget_worths(detector_category, plan)

    def _forget_worths(self, detector_category: DetectorCategory, plan: _CategoryPlan) -> None:
        if len(plan.worths) > _WORTHS_MAX:
            candidate_frames = set().union(
                *(
                    self._allocator.candidate_frames(logic.key_of(detector_category, mode))
                    for mode in plan.modes
                )
            )
            plan.worths = {
                frame_id: worth
                for frame_id, worth in plan.worths.items()
                if frame_id in candidate_frames
            }

    async def _limits(self) -> Limits:
        return limits_of(await self._sources.size.haystack_frames(self._model), self._settings)

    async def _shortlists(
        self, needles: Collection[NeedleId], assignments: Sequence[Assignment]
    ) -> list[ShortlistPublished]:
        """The shortlists of these needles that change."""
        fresh: defaultdict[NeedleId, dict[FrameId, Candidate]] = defaultdict(dict)
        facts = await self._sources.frames.load(
            {assignment.candidate.context.frame for assignment in assignments}
        )
        for assignment in assignments:
            frame, region = assignment.candidate.context.frame, assignment.candidate.region
            if frame not in facts or region not in facts[frame].regions:
                # The frame changed meanwhile; an event that reports it will follow.
                self._allocator.release(frame)
                continue
            fresh[assignment.needle][frame] = logic.candidate(
                region,
                facts[frame],
                assignment.similarity,
                assignment.candidate.evidence,
                self._settings.blob_url,
            )
        shortlists = [self._shortlist(needle, fresh[needle]) for needle in sorted(needles)]
        return [shortlist for shortlist in shortlists if shortlist is not None]

    def _shortlist(
        self, needle_id: NeedleId, fresh: Mapping[FrameId, Candidate]
    ) -> ShortlistPublished | None:
        record = self._sources.needles.get(needle_id)
        detector_category, mode = self._mode_of[needle_id]
        category_model = self._categories[detector_category].category_model
        assert record.needle is not None
        assert category_model is not None
        staying = [
            candidate
            for candidate in logic.listed(record)
            if candidate.frame_id not in fresh
            and self._allocator.owner(candidate.frame_id) == needle_id
        ]
        candidates = logic.in_order([*staying, *fresh.values()])
        if fresh or record.shortlist is None:
            provenance = _provenance(self._model, category_model.model.method(mode), self._settings)
        else:
            # No candidate is new, so the provenance of the existing ones holds.
            provenance = record.shortlist.provenance
        return logic.next_shortlist(record, record.needle, candidates, provenance)


def _detector_category_of(needle: NeedleFound) -> DetectorCategory:
    return needle.detector, needle.category


def _provenance(model: ModelId, method: Method, settings: Settings) -> Provenance:
    """The provenance of a shortlist under these settings."""
    return Provenance(
        model=model,
        strategy=settings.shortlist_strategy,
        size_limit=settings.shortlist_size,
        method=method.value,
    )
