"""The allocator, last of three stages: from scored candidates to shortlists.

One allocator serves one detector. Its shortlists are a function of the candidates, needles,
verdicts, previous shortlists and limits of the epochs so far. It keeps these in tables of the
detector's changelog.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self

from services.contracts.codec import decode, encode
from services.contracts.identity import DetectorId, FamilyId, FrameId, ModelId, NeedleId, RegionId
from services.contracts.needles import ShortlistPublished
from services.contracts.topics import REANNOTATION_TOPIC
from services.domain.failure_modes import FailureMode
from services.domain.ports.budget_reports import BudgetReport
from services.domain.ports.needles import NeedleRecord
from services.domain.shortlists.allocation import AllocationTables, BudgetAllocator
from services.domain.shortlists.epochs import MIN_EARLY_EXAMPLES, Epoch
from services.domain.shortlists.scored_candidates import Key, Limits, ListedFrame, ScoredCandidate
from services.retriever import logic
from services.retriever.allocation.active_needles import ActiveNeedles
from services.retriever.allocation.budgets import budget_report
from services.retriever.allocation.corrected_regions import CorrectedRegions
from services.retriever.allocation.divided_budget import DividedBudget
from services.retriever.allocation.drawn_frames import DrawnFrames
from services.retriever.allocation.frame_assigner import FrameAssigner
from services.retriever.allocation.shortlist_revisions import ShortlistRevisions
from services.retriever.changelog import Before, Changelog, TableSpec
from services.retriever.logic import DetectorCategory, FrameFacts
from services.retriever.scoring.scorer import FittedTo, Scored
from services.retriever.sources import Sources

LISTED: TableSpec[FrameId, ListedFrame] = TableSpec("listed", FrameId, ListedFrame)
YIELDS: TableSpec[FamilyId, float] = TableSpec("yields", FamilyId, float)
CANDIDATES: TableSpec[RegionId, ScoredCandidate] = TableSpec(
    "candidates", RegionId, ScoredCandidate
)
"""A table per failure mode."""
FITTED_TO: TableSpec[Key, FittedTo] = TableSpec("fitted_to", tuple[str, ...], FittedTo)
OF_ANOTHER_MODEL: TableSpec[FrameId, bool] = TableSpec("of_another_model", FrameId, bool)
"""Listed frames that another embedding model found."""
UNWRITTEN: TableSpec[NeedleId, str] = TableSpec("unwritten", NeedleId, str)
"""The shortlists that the last epoch changed, as events: its process may have ended before it wrote
them."""


class DetectorAllocator:
    """The needles, candidates and shortlists of one detector under one embedding model."""

    def __init__(
        self,
        sources: Sources,
        detector: DetectorId,
        model: ModelId,
        limits: Limits,
        changelog: Changelog,
    ) -> None:
        likeness = sources.settings.family_likeness
        self.needles = ActiveNeedles(sources.vectors, likeness, model, changelog)
        self._sources = sources
        self._detector = detector
        self._model = model
        self._limits = limits
        self._tables = _tables_of(changelog)
        self._allocator = BudgetAllocator(limits, self._tables)
        self._revisions = ShortlistRevisions(sources, model)
        self.drawn = DrawnFrames(detector, sources.settings, changelog)
        self.division = DividedBudget(detector, sources.matches, sources.settings, changelog)
        self._divides = sources.settings.divides_budget
        self._fits = changelog.table(FITTED_TO)
        self._assigner = FrameAssigner(
            sources,
            model,
            changelog,
            needles=self.needles,
            drawn=self.drawn,
            division=self.division,
            listed=self._tables.listed,
            fits=self._fits,
        )
        self._corrected = CorrectedRegions(self.needles, self.division, sources, changelog)
        self._of_another_model = changelog.table(OF_ANOTHER_MODEL)
        self._unwritten = changelog.table(UNWRITTEN)
        self._lost: set[NeedleId] = set()
        """Needles whose shortlists lost a frame since the last allocation."""

    async def restore(self) -> bool:
        """Restore the state in the changelog; False if a needed vector is no longer stored."""
        needles = await self.needles.restore()
        if needles is not None:
            self._allocator = BudgetAllocator.restored(self._limits, self._tables, needles)
            self.drawn.restore()
        return needles is not None

    def adopt(self, earlier: Self, before: Before) -> None:
        """Keep the order of the earlier one's candidates, where it still holds.

        Parameters
        ----------
        earlier : of the same changelog, before some changes; it is not used any more
        before : what was there before these
        """
        listed, yields = before.get((LISTED.name,), {}), before.get((YIELDS.name,), {})
        has_released = any(
            was is not None and self._allocator.owner(frame) != was.needle
            for frame, was in listed.items()
        )
        if has_released or any(
            self._tables.yields.get(family) != was for family, was in yields.items()
        ):
            return
        new = {tuple(key): rows for (name, *key), rows in before.items() if name == CANDIDATES.name}
        self._allocator.adopt(earlier._allocator, new)

    @property
    def unwritten(self) -> Sequence[ShortlistPublished]:
        """The shortlists that the last epoch changed."""
        events = [
            decode(REANNOTATION_TOPIC.name, text.encode()) for text in self._unwritten.values()
        ]
        return [event for event in events if isinstance(event, ShortlistPublished)]

    async def load(self, records: Sequence[NeedleRecord]) -> None:
        """Take in the active needles and their shortlists, where the changelog has nothing."""
        active = [record for record in records if record.active]
        await self._admit(active)
        await self._keep(active)
        if self._divides:
            await self.division.learn(await self._sources.needles.all())

    async def update(
        self,
        records: Sequence[NeedleRecord],
        frames: Mapping[FrameId, FrameFacts],
        limits: Limits,
    ) -> None:
        """Take in the needles and the frames that an epoch brought.

        Parameters
        ----------
        records : needles of the detector that are new, changed or retracted
        frames : the current facts of frames that were embedded or annotated again
        """
        self._limits = limits
        self._lost |= self._release_gone(frames) | self.drawn.note(frames)
        if self._divides:
            self.division.note(frames)
        for record in records:
            if not record.active:
                self.needles.remove(record.needle_id)
                self._allocator.remove_needle(record.needle_id)
                self.drawn.release_needle(record.needle_id)
        waited = self.needles.waiting_for(frames)
        found = await self._sources.needles.load(waited)
        await self._admit(
            [record for record in records if record.active]
            + [found[needle_id] for needle_id in waited if needle_id in found]
        )
        await self._note_corrections(frames)

    def take(self, scored: Scored, frames: Collection[FrameId]) -> None:
        """Take in what the scorer found.

        Parameters
        ----------
        frames : that were scored again, so that their earlier candidates no longer count
        """
        for detector_category in scored.rescored:
            for mode in self.needles.modes().get(detector_category, ()):
                key = logic.key_of(detector_category, mode)
                self._allocator.remove_candidates(key, frames)
                self._assigner.forget(key, frames)
        for detector_category in scored.replaced:
            for mode in self.needles.modes()[detector_category]:
                key = logic.key_of(detector_category, mode)
                self._allocator.remove_all_candidates(key)
                self._assigner.forget(key)
        for key, candidates in scored.candidates.items():
            self._allocator.add_candidates(key, candidates)
        self._fits.update(scored.fits)

    def listed(
        self, detector_category: DetectorCategory
    ) -> dict[FailureMode, Mapping[FrameId, RegionId]]:
        """The regions on shortlists that are not corrected, by failure mode.

        Without those that are there for coverage, for which there is no evidence to lose.
        """
        return {
            mode: {
                frame: region
                for frame, region in self._allocator.listed(
                    logic.key_of(detector_category, mode)
                ).items()
                if not self.division.is_for_coverage(frame)
            }
            for mode in self.needles.modes()[detector_category]
        }

    async def release_unopened(self, frames: Collection[FrameId]) -> None:
        """Take frames off shortlists unless they were corrected, or an annotator opened them."""
        listed = self._tables.listed
        owners = {
            frame: listed[frame].needle
            for frame in sorted(frames)
            if frame in listed and not listed[frame].corrected
        }
        opened = await self._sources.openings.among(set(owners.values()), owners.keys())
        self._lost |= {
            self._allocator.release(frame)
            for frame, owner in owners.items()
            if frame not in opened.frames and owner not in opened.needles
        }

    async def allocate(self, epoch: Epoch) -> list[ShortlistPublished]:
        """The shortlists that change at the end of the epoch."""
        if epoch.settled:
            # After a switch of the embedding model, shortlists are to be those of the new one.
            await self.release_unopened(self._of_another_model.keys())
            self._of_another_model.clear()
        budgets = replace(self._limits.budgets, haystack=epoch.released)
        limits = replace(self._limits, budgets=budgets)
        modes = None if epoch.settled else self._modes_fitted_well()
        assignments = await self._assigner.assign(self._allocator, limits, modes)
        for assignment in assignments:
            # A frame that is both drawn and chosen counts as chosen.
            self._lost |= self.drawn.release(assignment.candidate.context.frame)
        drawn = await self._assigner.place_drawn(self._allocator) if epoch.settled else []
        changed = {*self._lost, *(assignment.needle for assignment in [*assignments, *drawn])}
        self._lost = set()
        self.needles.close_epoch()
        shortlists = await self._revisions.next(
            {needle for needle in changed if needle in self.needles},
            [*assignments, *drawn],
            self._owner,
            lambda needle: self._fits[logic.key_of(*self.needles.mode_of(needle))].method,
            epoch.number,
        )
        self._unwritten.clear()
        self._unwritten.update({item.needle_id: encode(item).decode() for item in shortlists})
        return shortlists

    async def report(self) -> BudgetReport:
        """How much of the budgets is spent now, and which frames they hold back."""
        held = await asyncio.to_thread(self._allocator.held_back, self._limits)
        budgets = self._limits.budgets
        return budget_report(self._detector, budgets, self._allocator.spent(), held)

    def _owner(self, frame: FrameId) -> NeedleId | None:
        """The needle whose shortlist has the frame, chosen or drawn."""
        return self._allocator.owner(frame) or self.drawn.needle(frame)

    def _modes_fitted_well(self) -> set[Key]:
        """The modes whose model has enough examples for frames to be listed early."""
        return {key for key, fit in self._fits.items() if fit.examples >= MIN_EARLY_EXAMPLES}

    async def _admit(self, records: Iterable[NeedleRecord]) -> None:
        for needle, key, family, has_moved in await self.needles.admit(records):
            self._allocator.add_needle(key, needle, family)
            if has_moved:
                # The frames that it had in another mode are free.
                self.drawn.release_needle(needle)
                self._lost.add(needle)

    async def _keep(self, records: Iterable[NeedleRecord]) -> None:
        """Keep the frames that are on shortlists."""
        listed = [
            (record, candidate)
            for record in records
            if record.needle_id in self.needles
            for candidate in logic.listed(record)
        ]
        facts = await self._sources.frames.load({candidate.frame_id for _, candidate in listed})
        families = await self.needles.families_of(
            [(record.needle_id, candidate.region_id) for record, candidate in listed]
        )
        for record, candidate in listed:
            needle_id, region = record.needle_id, candidate.region_id
            frame = facts.get(candidate.frame_id)
            stays = frame is not None and (frame.reannotated or region in frame.regions)
            if frame is None or not stays or self._has_moved(record):
                self._lost.add(needle_id)
                continue
            if candidate.sampling is not None:
                self.drawn.keep_listed(candidate, needle_id)
                continue
            family, corrected = families[region], frame.reannotated
            self._allocator.keep(
                ListedFrame(needle_id, region, frame.context, family, corrected=corrected)
            )
            if corrected:
                self._corrected.note(candidate.frame_id, needle_id, region)
            elif _model_of(record) != self._model:
                self._of_another_model[candidate.frame_id] = True
        await self._judge()

    def _has_moved(self, record: NeedleRecord) -> bool:
        """Whether a needle left the failure mode for which its shortlist was allocated."""
        assert record.shortlist is not None
        mode = logic.category_mode_of(record.shortlist.needle)
        return mode != self.needles.mode_of(record.needle_id)

    def _release_gone(self, frames: Mapping[FrameId, FrameFacts]) -> set[NeedleId]:
        """Take frames without their region off shortlists; returns the needles."""
        return {
            self._allocator.release(frame)
            for frame, region in self._allocator.regions(frames.keys()).items()
            if not frames[frame].reannotated and region not in frames[frame].regions
        }

    async def _note_corrections(self, frames: Mapping[FrameId, FrameFacts]) -> None:
        corrected = [frame for frame, facts in frames.items() if facts.reannotated]
        undone = self._corrected.remove(frames.keys() - set(corrected))
        for frame in undone:
            self._allocator.uncorrect(frame)
        for frame, region in self._allocator.regions(corrected).items():
            owner = self._allocator.owner(frame)
            assert owner is not None
            self._corrected.note(frame, owner, region)
            self._allocator.correct(frame)
        if undone or self._corrected.among(frames.keys()):
            await self._judge()

    async def _judge(self) -> None:
        """Compute the yields of families from the verdicts on corrected regions."""
        self._allocator.judge(await self._corrected.verdicts())
        if self._divides:
            await self.division.judge()


def _tables_of(changelog: Changelog) -> AllocationTables:
    return AllocationTables(
        changelog.table(LISTED),
        changelog.table(YIELDS),
        lambda key: changelog.table(CANDIDATES, *key),
    )


def _model_of(record: NeedleRecord) -> ModelId | None:
    """The embedding model that found a needle's shortlist."""
    return record.shortlist.provenance.model if record.shortlist is not None else None
