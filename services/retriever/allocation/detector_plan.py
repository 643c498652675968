"""The shortlists of one detector: read from the stores once, then updated in every epoch."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.contracts.events import Candidate, NeedleFound, Provenance, ShortlistPublished
from services.contracts.identity import (
    Category,
    DetectorId,
    FamilyId,
    FrameId,
    ModelId,
    NeedleId,
    RegionId,
)
from services.domain.mining.detector_category import ModeQuery
from services.domain.mining.failure_model import FailureMode
from services.domain.ports.needles import NeedleRecord
from services.domain.ports.vectors import Vector
from services.domain.shortlists.allocation import BudgetAllocator, Verdict
from services.domain.shortlists.epochs import EARLY_EXAMPLES_MIN, Epoch
from services.domain.shortlists.scored_candidates import Assignment, Limits, ListedFrame
from services.retriever import logic
from services.retriever.allocation.budgets import budget_report
from services.retriever.allocation.family_index import FamilyIndex
from services.retriever.allocation.sources import Sources
from services.retriever.logic import DetectorCategory, FrameFacts
from services.retriever.scoring.category_scores import CategoryScores
from services.runtime.stores.budget_reports import BudgetReport


@dataclass(frozen=True)
class PlannedEpoch:
    """What an epoch changes.

    Attributes
    ----------
    shortlists : those that change
    models : the id of each category's failure model
    """

    shortlists: Sequence[ShortlistPublished]
    models: Mapping[Category, str]


class DetectorPlan:
    """The needles, candidates and shortlists of one detector under one embedding model.

    It holds in memory what follows from the stores. A plan that was loaded again differs from one
    that was updated only in the refits and clusterings that the latter has put off.
    """

    def __init__(
        self, sources: Sources, detector: DetectorId, model: ModelId, limits: Limits
    ) -> None:
        self._sources = sources
        self._settings = sources.settings
        self._detector = detector
        self._model = model
        self._limits = limits
        self._allocator = BudgetAllocator(limits)
        self._families = FamilyIndex(sources.settings.family_likeness)
        self._scores = CategoryScores(sources, model)
        self._mode_of: dict[NeedleId, tuple[DetectorCategory, FailureMode]] = {}
        self._not_embedded: dict[RegionId, NeedleId] = {}
        self._corrected: dict[FrameId, tuple[NeedleId, RegionId]] = {}
        self._refitted: Collection[DetectorCategory] = ()
        self._lost: set[NeedleId] = set()
        """Needles whose shortlists lost a frame when the plan was made."""
        self._of_another_model: set[FrameId] = set()
        """Listed frames that another embedding model found."""

    @property
    def waiting(self) -> Collection[NeedleId]:
        """Needles whose region is not embedded yet."""
        return self._not_embedded.values()

    @property
    def needs_clustering(self) -> bool:
        """Whether the plan should be loaded again because there are many more needles."""
        return self._families.needs_clustering

    async def load(self, records: Sequence[NeedleRecord]) -> None:
        """Take in the active needles and their shortlists. Call this once, before `update`."""
        active = [record for record in records if record.active]
        await self._admit(active)
        await self._keep(active)

    @property
    def unfinished(self) -> bool:
        """Whether models wait for a refit that the last update had no time for."""
        return self._scores.unfinished

    async def update(
        self,
        records: Sequence[NeedleRecord],
        frames: Mapping[FrameId, FrameFacts],
        limits: Limits,
        *,
        refresh: bool,
    ) -> set[NeedleId]:
        """Take in what an epoch brought; returns the needles whose shortlists lose a frame.

        Parameters
        ----------
        records : needles of the detector that are new, changed or retracted
        frames : the current facts of frames that were embedded or annotated again
        refresh : whether every model is fitted to all examples that there are
        """
        self._limits = limits
        changed = self._lost | self._drop_gone(frames)
        self._lost = set()
        for record in records:
            if not record.active:
                self._remove_needle(record.needle_id, record.needle)
        embedded = {region for facts in frames.values() for region in facts.regions}
        waited = [self._not_embedded[r] for r in sorted(embedded & self._not_embedded.keys())]
        found = await self._sources.needles.load(waited)
        changed |= await self._admit(
            [record for record in records if record.active]
            + [found[needle_id] for needle_id in waited if needle_id in found]
        )
        await self._note_corrections(frames)
        await self._add_candidates(frames, refresh=refresh)
        changed |= await self._drop_unsupported()
        return changed & self._mode_of.keys()

    async def allocate(self, changed: Collection[NeedleId], epoch: Epoch) -> PlannedEpoch:
        """The shortlists at the end of the epoch.

        Parameters
        ----------
        changed : needles whose shortlists lost a frame
        """
        if epoch.settled:
            # Whoever switches the embedding model wants the shortlists of the new one.
            changed = {*changed, *await self._release_unopened(self._of_another_model)}
            self._of_another_model.clear()
        budgets = replace(self._limits.budgets, haystack=epoch.released)
        limits = replace(self._limits, budgets=budgets)
        modes = None if epoch.settled else self._scores.modes_fitted_to(EARLY_EXAMPLES_MIN)
        assignments = await asyncio.to_thread(self._allocator.allocate, limits, modes)
        needles = {*changed, *(assignment.needle for assignment in assignments)}
        return PlannedEpoch(
            await self._shortlists(needles, assignments, epoch.number), self._scores.model_ids()
        )

    async def report(self) -> BudgetReport:
        """How much of the budgets is spent now, and which frames they hold back."""
        held = await asyncio.to_thread(self._allocator.held_back, self._limits)
        budgets = self._limits.budgets
        return budget_report(self._detector, budgets, self._allocator.spent(), held)

    async def _admit(self, records: Iterable[NeedleRecord]) -> set[NeedleId]:
        """Add the needles whose regions are embedded; the others wait.

        Returns the needles that left another mode, whose frames are free.
        """
        found = {record.needle_id: record.needle for record in records if record.needle is not None}
        regions = [needle.region_id for needle in found.values()]
        vectors = await self._sources.vectors.load(self._model, regions)
        joining, moved = {}, set()
        for needle_id, needle in sorted(found.items()):
            if needle.region_id not in vectors:
                self._not_embedded[needle.region_id] = needle_id
                continue
            self._not_embedded.pop(needle.region_id, None)
            category_mode = logic.category_mode_of(needle)
            if self._mode_of.get(needle_id) != category_mode:
                moved |= {needle_id} & self._mode_of.keys()
                self._remove_needle(needle_id, needle)
                joining[needle_id] = category_mode, needle
        self._families.join(
            [(logic.key_of(*of), needle) for of, needle in joining.values()], vectors
        )
        for needle_id, (category_mode, _) in joining.items():
            self._mode_of[needle_id] = category_mode
            key, family = logic.key_of(*category_mode), self._families.family_of(needle_id)
            self._allocator.add_needle(key, needle_id, family)
            self._scores.add_mode(*category_mode)
        return moved

    def _remove_needle(self, needle_id: NeedleId, needle: NeedleFound | None) -> None:
        if needle is not None:
            self._not_embedded.pop(needle.region_id, None)
        if needle_id not in self._mode_of:
            return
        category_mode = self._mode_of.pop(needle_id)
        self._allocator.remove_needle(needle_id)
        self._families.leave(needle_id)
        if not self._allocator.needles(logic.key_of(*category_mode)):
            self._scores.remove_mode(*category_mode)

    async def _keep(self, records: Iterable[NeedleRecord]) -> None:
        """Keep the frames that are on shortlists."""
        listed = [
            (record, candidate)
            for record in records
            if record.needle_id in self._mode_of
            for candidate in logic.listed(record)
        ]
        facts = await self._sources.frames.load({candidate.frame_id for _, candidate in listed})
        families = await self._families_of(
            [(record.needle_id, candidate.region_id) for record, candidate in listed]
        )
        for record, candidate in listed:
            needle_id, region = record.needle_id, candidate.region_id
            frame = facts.get(candidate.frame_id)
            if frame is None or not (frame.reannotated or region in frame.regions):
                self._lost.add(needle_id)
                continue
            family, corrected = families[region], frame.reannotated
            self._allocator.keep(
                ListedFrame(needle_id, region, frame.context, family, corrected=corrected)
            )
            if corrected:
                self._corrected[candidate.frame_id] = needle_id, region
            elif _model_of(record) != self._model:
                self._of_another_model.add(candidate.frame_id)
        await self._judge()

    async def _families_of(
        self, listed: Sequence[tuple[NeedleId, RegionId]]
    ) -> dict[RegionId, FamilyId]:
        """The family that each listed region counts for; its needle's if it has no vector."""
        vectors = await self._sources.vectors.load(self._model, [region for _, region in listed])
        return {region: self._family(needle, vectors.get(region)) for needle, region in listed}

    def _family(self, needle: NeedleId, vector: Vector | None) -> FamilyId:
        if vector is None:
            return self._families.family_of(needle)
        return self._mode_query(*self._mode_of[needle]).families_of(vector[None])[0]

    def _mode_query(self, detector_category: DetectorCategory, mode: FailureMode) -> ModeQuery:
        return self._families.mode_query(logic.key_of(detector_category, mode))

    def _drop_gone(self, frames: Mapping[FrameId, FrameFacts]) -> set[NeedleId]:
        """Drop the candidates on changed frames, and listed frames without their region."""
        for key in self._scores.forget(frames.keys()):
            self._allocator.remove_candidates(key, frames.keys())
        return {
            self._allocator.release(frame)
            for frame, region in self._allocator.regions(frames.keys()).items()
            if not frames[frame].reannotated and region not in frames[frame].regions
        }

    async def _note_corrections(self, frames: Mapping[FrameId, FrameFacts]) -> None:
        regions = self._allocator.regions(
            [frame for frame, facts in frames.items() if facts.reannotated]
        )
        for frame, region in regions.items():
            owner = self._allocator.owner(frame)
            assert owner is not None
            self._corrected[frame] = owner, region
            self._allocator.correct(frame)
        if self._corrected.keys() & frames.keys():
            await self._judge()

    async def _judge(self) -> None:
        """Compute the yields of families from the verdicts on corrected frames."""
        listed = [item for item in self._corrected.values() if item[0] in self._mode_of]
        families = await self._families_of(listed)
        verdicts = []
        for needle_id, region in listed:
            detector_category, mode = self._mode_of[needle_id]
            truths = await self._sources.learning.truths(detector_category)
            if region in truths:
                verdicts.append(Verdict(families[region], confirmed=truths[region] == mode))
        self._allocator.judge(verdicts)

    async def _add_candidates(self, frames: Mapping[FrameId, FrameFacts], *, refresh: bool) -> None:
        """Add the candidates of these frames, and replace those of refitted categories."""
        scored = await self._scores.update(frames, self._mode_query, refresh=refresh)
        self._refitted = scored.refitted
        for detector_category in scored.refitted:
            for mode in self._scores.modes(detector_category):
                self._allocator.remove_all_candidates(logic.key_of(detector_category, mode))
        for key, candidates in scored.candidates.items():
            self._allocator.add_candidates(key, candidates)

    async def _drop_unsupported(self) -> set[NeedleId]:
        """Take frames without evidence off shortlists that nobody opened; returns the needles."""
        unsupported: set[FrameId] = set()
        for detector_category in sorted(self._refitted):
            listed = {
                mode: self._allocator.listed(logic.key_of(detector_category, mode))
                for mode in self._scores.modes(detector_category)
            }
            unsupported |= await self._scores.unsupported(
                detector_category, listed, self._mode_query
            )
        return await self._release_unopened(unsupported)

    async def _release_unopened(self, frames: Collection[FrameId]) -> set[NeedleId]:
        """Take frames off shortlists unless an annotator opened them; returns the needles."""
        owners = {
            frame: owner
            for frame in sorted(frames)
            if (owner := self._allocator.owner(frame)) is not None
        }
        opened = await self._sources.openings.among(set(owners.values()), owners.keys())
        return {
            self._allocator.release(frame)
            for frame, owner in owners.items()
            if frame not in opened.frames and owner not in opened.needles
        }

    async def _shortlists(
        self, changed: Collection[NeedleId], assignments: Sequence[Assignment], epoch: int
    ) -> list[ShortlistPublished]:
        """The shortlists of these needles that change."""
        candidates = [assignment.candidate for assignment in assignments]
        facts = await self._sources.frames.load({item.context.frame for item in candidates})
        records = await self._sources.needles.load(changed)
        similarities = await self._similarities(records, assignments)
        fresh: defaultdict[NeedleId, dict[FrameId, Candidate]] = defaultdict(dict)
        for assignment, similarity in zip(assignments, similarities, strict=True):
            frame, region = assignment.candidate.context.frame, assignment.candidate.region
            if frame not in facts or region not in facts[frame].regions:
                # The frame changed meanwhile; an event that reports it will follow.
                self._allocator.release(frame)
                continue
            fresh[assignment.needle][frame] = logic.candidate(
                region,
                facts[frame],
                similarity,
                assignment.candidate.evidence,
                self._settings.blob_url,
            )
        shortlists = [
            self._shortlist(records[needle], fresh[needle], epoch)
            for needle in sorted(changed)
            if needle in records
        ]
        return [shortlist for shortlist in shortlists if shortlist is not None]

    async def _similarities(
        self, records: Mapping[NeedleId, NeedleRecord], assignments: Sequence[Assignment]
    ) -> list[float]:
        """The cosine of each assigned region and its needle's."""
        pairs = [
            (record.needle.region_id, assignment.candidate.region)
            for assignment in assignments
            if (record := records.get(assignment.needle)) and record.needle is not None
        ]
        regions = {region for pair in pairs for region in pair}
        vectors = await self._sources.vectors.load(self._model, regions)
        return [
            float(vectors[one] @ vectors[other]) if one in vectors and other in vectors else 0.0
            for one, other in pairs
        ]

    def _shortlist(
        self, record: NeedleRecord, fresh: Mapping[FrameId, Candidate], epoch: int
    ) -> ShortlistPublished | None:
        detector_category, mode = self._mode_of[record.needle_id]
        fitted = self._scores.fitted(detector_category)
        assert record.needle is not None
        staying = [
            candidate
            for candidate in logic.listed(record)
            if candidate.frame_id not in fresh
            and self._allocator.owner(candidate.frame_id) == record.needle_id
        ]
        candidates = logic.in_order([*staying, *fresh.values()])
        if record.shortlist is not None and not fresh:
            # No candidate is new, so the provenance of the existing ones holds.
            provenance = record.shortlist.provenance
        else:
            assert fitted is not None
            provenance = Provenance(
                model=self._model,
                strategy=self._settings.shortlist_strategy,
                size_limit=self._settings.shortlist_size,
                method=fitted.category_model.model.method(mode).value,
            )
        return logic.next_shortlist(record, record.needle, candidates, provenance, epoch)


def _model_of(record: NeedleRecord) -> ModelId | None:
    """The embedding model that found a needle's shortlist."""
    return record.shortlist.provenance.model if record.shortlist is not None else None
