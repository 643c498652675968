"""All shortlists of one detector: planned from what is durable, and carried on by what is new."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.contracts.events import Candidate, NeedleFound, Provenance, ShortlistPublished
from services.contracts.identity import DetectorId, FamilyId, FrameId, ModelId, NeedleId, RegionId
from services.domain.mining.detector_category import CategoryModel as Learnt
from services.domain.mining.detector_category import Haystack, ModeQuery, frame_worths, offers
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
"""Frames per kind whose worth is remembered; beyond it, only of those that may still be dealt."""


@dataclass
class _KindPlan:
    """A kind of which there are needles, and what of its haystack is offered."""

    modes: set[FailureMode] = field(default_factory=set)
    learnt: Learnt | None = None
    worths: dict[FrameId, float] = field(default_factory=dict)
    """What each frame is worth by its regions of this kind."""
    sought: set[FailureMode] = field(default_factory=set)
    """Modes for which the haystack was searched."""
    unknown: bool = True
    """Whether a mode came since the last lesson began."""


class DetectorPlan:
    """The shortlists of one detector under one embedding model."""

    def __init__(self, sources: Sources, model: ModelId) -> None:
        self._at = sources
        self._settings = sources.settings
        self._strategy = STRATEGIES[sources.settings.shortlist_strategy]
        self._model = model
        self._dealer = BudgetAllocator()
        self._kinds: defaultdict[DetectorCategory, _KindPlan] = defaultdict(_KindPlan)
        self._asking: dict[NeedleId, tuple[DetectorCategory, FailureMode]] = {}
        self._not_embedded: dict[RegionId, NeedleId] = {}
        self._lookalikes = FamilyIndex(sources.settings.family_likeness)

    @property
    def waiting(self) -> Collection[NeedleId]:
        """Needles whose region is not embedded yet."""
        return self._not_embedded.values()

    async def plan(self, records: Sequence[NeedleRecord]) -> list[ShortlistPublished]:
        """What changes in the shortlists of all the detector's active needles.

        They follow from what is durable and from nothing else. A needle whose region is not
        embedded yet waits and keeps what it has. To be called once, before anything else.
        """
        await self._admit(records)
        limits = await self._limits()
        await self._keep(records, limits)
        await self._offer({}, await self._learnt(sorted(self._kinds)))
        assignments = await asyncio.to_thread(self._dealer.allocate, limits)
        return await self._shortlists(list(self._asking), assignments)

    async def extend(
        self, records: Sequence[NeedleRecord], frames: Mapping[FrameId, FrameFacts]
    ) -> list[ShortlistPublished]:
        """What changes by this news alone: what is listed stays, unless nothing speaks for it now.

        A kind that is worth learning again is learnt beside what comes next, and goes by what was
        learnt before until then.

        Parameters
        ----------
        records : needles of the detector that came, changed or went
        frames : that were embedded or annotated again, as they are now
        """
        moved = self._drop_gone(frames)
        for record in records:
            if not record.active:
                self._retire(record.needle_id, record.needle)
        waited = [self._not_embedded[r] for r in self._embedded(frames) if r in self._not_embedded]
        await self._admit(
            [record for record in records if record.active]
            + [self._at.needles.get(needle_id) for needle_id in waited]
        )
        moved |= await self._offer(frames, await self._taught())
        limits = await self._limits()
        assignments = await asyncio.to_thread(self._dealer.allocate, limits)
        moved |= {assignment.needle for assignment in assignments}
        return await self._shortlists(moved & self._asking.keys(), assignments)

    async def _learnt(self, kinds: Iterable[DetectorCategory]) -> dict[DetectorCategory, Learnt]:
        """What is known of kinds by now."""
        learnt = {}
        for kind in kinds:
            self._kinds[kind].unknown = False
            learnt[kind] = await self._at.learning.of(kind, self._model)
            report_progress()
        return learnt

    async def _taught(self) -> dict[DetectorCategory, Learnt]:
        """Kinds of which nothing was known, and those whose lesson is over; another may begin.

        One lesson at a time, because it takes what needles and embeddings need too.
        """
        learning = self._at.learning
        new = [kind for kind, plan in sorted(self._kinds.items()) if plan.learnt is None]
        learnt = await self._learnt(new)
        next_ = None if learning.busy else self._outgrown()
        if next_ is not None:
            self._kinds[next_].unknown = False
            await learning.begin(next_, self._model)
        over = {kind: learning.over(kind) for kind in sorted(self._kinds)}
        return learnt | {kind: model for kind, model in over.items() if model is not None}

    def _outgrown(self) -> DetectorCategory | None:
        """A kind with a mode that is new, or one of which much was heard."""
        kinds = sorted(self._kinds.items())
        unknown = (kind for kind, plan in kinds if plan.unknown)
        refit = (kind for kind, _ in kinds if self._at.learning.outgrown(kind))
        return next(unknown, None) or next(refit, None)

    async def report(self, detector: DetectorId) -> BudgetReport:
        """What of the budgets is spent by now, and what they hold back."""
        limits = await self._limits()
        held = await asyncio.to_thread(self._dealer.held_back, limits)
        return budget_report(detector, limits.budgets, self._dealer.spent(), held)

    async def _admit(self, records: Iterable[NeedleRecord]) -> None:
        """Let these ask, as far as their regions are embedded."""
        found = {record.needle_id: record.needle for record in records if record.needle is not None}
        regions = [item.region_id for item in found.values()]
        vectors = await self._at.vectors.load(self._model, regions)
        came = []
        for needle_id, needle in sorted(found.items()):
            if needle.region_id not in vectors:
                self._not_embedded[needle.region_id] = needle_id
                continue
            self._not_embedded.pop(needle.region_id, None)
            asked = _kind_of(needle), FailureMode.of(needle.error_type, needle.true_category)
            if self._asking.get(needle_id, asked) != asked:
                self._retire(needle_id, needle)
            if needle_id not in self._asking:
                came.append((logic.key_of(*asked), needle))
            self._ask(needle_id, asked, vectors[needle.region_id])
        self._lookalikes.join(came, vectors)

    def _ask(
        self, needle_id: NeedleId, asked: tuple[DetectorCategory, FailureMode], vector: Vector
    ) -> None:
        self._asking[needle_id] = asked
        self._dealer.ask(logic.key_of(*asked), needle_id, vector)
        plan, mode = self._kinds[asked[0]], asked[1]
        plan.unknown |= mode not in plan.modes
        plan.modes.add(mode)

    def _retire(self, needle_id: NeedleId, needle: NeedleFound | None) -> None:
        if needle is not None:
            self._not_embedded.pop(needle.region_id, None)
        if needle_id not in self._asking:
            return
        kind, mode = self._asking.pop(needle_id)
        self._dealer.retire(needle_id)
        if not self._dealer.needles(logic.key_of(kind, mode)):
            self._kinds[kind].modes.discard(mode)
            self._kinds[kind].sought.discard(mode)
        if not self._kinds[kind].modes:
            del self._kinds[kind]

    async def _keep(self, records: Iterable[NeedleRecord], limits: Limits) -> None:
        """Leave on shortlists what came back annotated, and note what their families yielded."""
        reannotated = await self._at.frames.reannotated()
        kept = [
            (record.needle_id, candidate)
            for record in records
            if record.needle_id in self._asking
            for candidate in logic.kept_candidates(record, reannotated)
        ]
        facts = await self._at.frames.load({item.frame_id for _, item in kept})
        vectors = await self._at.vectors.load(self._model, [item.region_id for _, item in kept])
        kinds = {self._asking[needle_id][0] for needle_id, _ in kept}
        truths = {kind: await self._at.learning.truths(kind) for kind in kinds}
        verdicts = []
        for needle_id, item in kept:
            kind, mode = self._asking[needle_id]
            family = self._family(kind, mode, needle_id, vectors.get(item.region_id))
            if item.frame_id in facts:
                self._dealer.keep(needle_id, facts[item.frame_id].spot, family, limits)
            if item.region_id in truths[kind]:
                verdicts.append(Verdict(family, confirmed=truths[kind][item.region_id] == mode))
        self._lookalikes.judge(verdicts)

    def _family(
        self, kind: DetectorCategory, mode: FailureMode, needle_id: NeedleId, vector: Vector | None
    ) -> FamilyId:
        """The family that a listed region counts for; the needle's own where it has no vector."""
        if vector is None:
            return self._lookalikes.family_of(needle_id)
        return self._asked(kind, mode).families_of(vector[None])[0]

    def _asked(self, kind: DetectorCategory, mode: FailureMode) -> ModeQuery:
        key = logic.key_of(kind, mode)
        return self._lookalikes.asked(self._dealer.needles(key), self._dealer.vectors(key))

    def _embedded(self, frames: Mapping[FrameId, FrameFacts]) -> list[RegionId]:
        return [region for facts in frames.values() for region in facts.regions]

    def _drop_gone(self, frames: Mapping[FrameId, FrameFacts]) -> set[NeedleId]:
        """Forget what was known of these frames; whose shortlists lose a region by it."""
        for kind, plan in self._kinds.items():
            known = plan.worths.keys() & frames.keys()
            for frame in known:
                del plan.worths[frame]
            if known:
                for mode in plan.modes:
                    self._dealer.withdraw(logic.key_of(kind, mode), known)
        moved = set()
        for frame, facts in frames.items():
            owner = self._dealer.owner(frame)
            if owner is None or facts.reannotated:
                continue
            listed = logic.listed(self._at.needles.get(owner))
            if not any(candidate.region_id in facts.regions for candidate in listed):
                moved.add(self._dealer.take_back(frame))
        return moved

    async def _offer(
        self, frames: Mapping[FrameId, FrameFacts], learnt: Mapping[DetectorCategory, Learnt]
    ) -> set[NeedleId]:
        """Offer what came, and kinds that were learnt again anew; whose shortlists shrink by it."""
        found: list[tuple[DetectorCategory, Haystack]] = []
        moved: set[NeedleId] = set()
        came = await self._at.candidates.among(
            frames, self._kinds.keys() - learnt.keys(), self._model
        )
        for kind, plan in self._kinds.items():
            report_progress()
            if kind in learnt:
                plan.learnt = learnt[kind]
                found.append((kind, await self._offered_anew(kind, plan.learnt)))
                moved |= await self._judge_listed(kind)
                continue
            assert plan.learnt is not None
            if kind in came:
                plan.worths |= frame_worths(plan.learnt, came[kind], self._strategy)
                found.append((kind, came[kind]))
            if new := plan.modes - plan.sought:
                more = await self._sought(kind, plan.learnt, new)
                # Of a frame that is known, these are perhaps not all regions.
                plan.worths = frame_worths(plan.learnt, more, self._strategy) | plan.worths
                found.append((kind, more))
        await asyncio.to_thread(self._offer_all, found)
        return moved

    async def _offered_anew(self, kind: DetectorCategory, learnt: Learnt) -> Haystack:
        """What lies where a kind is sought by what was learnt; nothing else is offered any more."""
        plan = self._kinds[kind]
        haystack = await self._sought(kind, learnt, plan.modes)
        for mode in plan.modes:
            self._dealer.withdraw_all(logic.key_of(kind, mode))
        plan.worths = frame_worths(learnt, haystack, self._strategy)
        return haystack

    async def _sought(
        self, kind: DetectorCategory, learnt: Learnt, modes: Collection[FailureMode]
    ) -> Haystack:
        """What of a kind's haystack lies where these modes are sought."""
        needles = {mode: self._dealer.vectors(logic.key_of(kind, mode)) for mode in modes}
        self._kinds[kind].sought |= needles.keys()
        return await self._at.candidates.search(kind, learnt.model.directions(needles), self._model)

    async def _judge_listed(self, kind: DetectorCategory) -> set[NeedleId]:
        """Take off shortlists what no longer has the evidence to be on them."""
        plan = self._kinds[kind]
        assert plan.learnt is not None
        moved = set()
        for mode in sorted(plan.modes, key=str):
            key = logic.key_of(kind, mode)
            listed = [
                (candidate.region_id, candidate.frame_id)
                for needle_id in self._dealer.needles(key)
                for candidate in logic.listed(self._at.needles.get(needle_id))
                if self._dealer.owner(candidate.frame_id) == needle_id
            ]
            haystack = await self._at.candidates.rows(listed, self._model)
            if not haystack.spots:
                continue
            evidence = plan.learnt.model.evidence(
                mode, self._dealer.vectors(key), haystack.vectors, haystack.features
            )
            for spot, item in zip(haystack.spots, evidence.tolist(), strict=True):
                if item < self._settings.shortlist_evidence:
                    moved.add(self._dealer.take_back(spot.frame))
        return moved

    def _offer_all(self, found: Iterable[tuple[DetectorCategory, Haystack]]) -> None:
        for kind, haystack in found:
            plan = self._kinds[kind]
            assert plan.learnt is not None
            worths = {
                spot.frame: sum(
                    kind_plan.worths.get(spot.frame, 0.0) for kind_plan in self._kinds.values()
                )
                for spot in haystack.spots
            }
            asked = {mode: self._asked(kind, mode) for mode in plan.modes}
            sought = {mode: needles for mode, needles in asked.items() if needles.families}
            evidence_min = self._settings.shortlist_evidence
            for mode, offer in offers(plan.learnt, haystack, sought, worths, evidence_min).items():
                self._dealer.offer(logic.key_of(kind, mode), offer)
            self._forget_worths(kind, plan)

    def _forget_worths(self, kind: DetectorCategory, plan: _KindPlan) -> None:
        if len(plan.worths) > _WORTHS_MAX:
            offered = set().union(
                *(self._dealer.offered(logic.key_of(kind, mode)) for mode in plan.modes)
            )
            plan.worths = {
                frame_id: worth for frame_id, worth in plan.worths.items() if frame_id in offered
            }

    async def _limits(self) -> Limits:
        return limits_of(await self._at.size.haystack_frames(self._model), self._settings)

    async def _shortlists(
        self, needles: Collection[NeedleId], assignments: Sequence[Assignment]
    ) -> list[ShortlistPublished]:
        """What is to be written for these needles, where anything is."""
        fresh: defaultdict[NeedleId, dict[FrameId, Candidate]] = defaultdict(dict)
        facts = await self._at.frames.load(
            {assignment.offer.spot.frame for assignment in assignments}
        )
        for assignment in assignments:
            frame, region = assignment.offer.spot.frame, assignment.offer.region
            if frame not in facts or region not in facts[frame].regions:
                # It changed meanwhile; the event that says so is on its way.
                self._dealer.take_back(frame)
                continue
            fresh[assignment.needle][frame] = logic.candidate(
                region,
                facts[frame],
                assignment.similarity,
                assignment.offer.evidence,
                self._settings.blob_url,
            )
        shortlists = [self._shortlist(needle, fresh[needle]) for needle in sorted(needles)]
        return [shortlist for shortlist in shortlists if shortlist is not None]

    def _shortlist(
        self, needle_id: NeedleId, fresh: Mapping[FrameId, Candidate]
    ) -> ShortlistPublished | None:
        record = self._at.needles.get(needle_id)
        kind, mode = self._asking[needle_id]
        learnt = self._kinds[kind].learnt
        assert record.needle is not None
        assert learnt is not None
        staying = [
            candidate
            for candidate in logic.listed(record)
            if candidate.frame_id not in fresh
            and self._dealer.owner(candidate.frame_id) == needle_id
        ]
        candidates = logic.in_order([*staying, *fresh.values()])
        if fresh or record.shortlist is None:
            how = _provenance(self._model, learnt.model.method(mode), self._settings)
        else:
            # What stays came to be as it says.
            how = record.shortlist.provenance
        return logic.next_shortlist(record, record.needle, candidates, how)


def _kind_of(needle: NeedleFound) -> DetectorCategory:
    return needle.detector, needle.category


def _provenance(model: ModelId, method: Method, settings: Settings) -> Provenance:
    """How a shortlist comes to be under these settings."""
    return Provenance(
        model=model,
        strategy=settings.shortlist_strategy,
        size_limit=settings.shortlist_size,
        method=method.value,
    )
