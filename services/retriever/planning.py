"""All shortlists of one detector at once, from all that is durable by now."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.events import Candidate, FrameMatched, NeedleFound, ShortlistPublished
from services.contracts.identity import FrameId, ModelId, NeedleId, RegionId
from services.domain.failure_model import Examples, FailureModel, Method, Mode
from services.domain.kind import Asked, Haystack, ask
from services.domain.kind import Kind as DomainKind
from services.domain.ranking import Vectors
from services.domain.shortlist_plan import Limits, Spot, deal
from services.domain.strategies import STRATEGIES
from services.retriever import logic
from services.retriever.known import KnownFrames, KnownMatches, KnownVectors
from services.retriever.logic import FrameFacts, Kind
from services.runtime.settings import Settings
from services.runtime.stores.matches import MatchStore
from services.runtime.stores.needles import NeedleRecord
from services.runtime.stores.vectors import FRAMES, REGIONS, Hit, VectorStore, Where, collection_of

_EXAMPLES_MAX = 2000
"""Per kind; a fit takes a second then, and more examples moved no figure in docs/shortlists.md."""


@dataclass(frozen=True)
class _Sought:
    """An active needle with its vector."""

    record: NeedleRecord
    needle: NeedleFound
    vector: Vectors

    @property
    def kind(self) -> Kind:
        return self.needle.detector, self.needle.category

    @property
    def mode(self) -> Mode:
        return Mode.of(self.needle.error_type, self.needle.true_category)


@dataclass(frozen=True)
class _Ready:
    """A kind, ready to be asked for, and what its haystack's places stand for."""

    kind: DomainKind
    places: Sequence[tuple[Hit, FrameFacts]]


_Searched = tuple[Haystack, Sequence[tuple[Hit, FrameFacts]]]


@dataclass(frozen=True)
class _Chosen:
    """What a needle was dealt, and how the evidence for it came about."""

    method: Method
    candidates: Sequence[Candidate]


class Planner:
    """Plans shortlists: the same from the same records, however they came to be there."""

    def __init__(
        self,
        *,
        frames: KnownFrames,
        reference: KnownMatches,
        matches: MatchStore,
        vectors: VectorStore,
        settings: Settings,
    ) -> None:
        self._frames = frames
        self._reference = reference
        self._matches = matches
        self._vectors = vectors
        self._known_vectors = KnownVectors(vectors)
        self._settings = settings
        self._models: dict[Kind, tuple[Examples, FailureModel]] = {}
        self._haystacks: dict[Kind, tuple[ModelId, bytes, _Searched]] = {}

    async def plan(
        self, records: Sequence[NeedleRecord], model: ModelId
    ) -> list[ShortlistPublished]:
        """What changes in the shortlists of one detector's active needles.

        A needle whose region is not embedded yet waits and keeps what it has.
        """
        sought = await self._sought(records, model)
        listed = await self._frames.load(_listed(records))
        kept = {each.needle_id: logic.kept_candidates(each, listed) for each in records}
        verdicts = await self._matches.load(await self._frames.reannotated())
        by_kind: defaultdict[Kind, list[_Sought]] = defaultdict(list)
        for each in sought:
            by_kind[each.kind].append(each)
        ready = [
            await self._ready(kind, by_kind[kind], verdicts, model) for kind in sorted(by_kind)
        ]
        spots = {needle: [listed[c.frame_id].spot for c in each] for needle, each in kept.items()}
        limits = await self._limits(model)
        chosen = await asyncio.to_thread(self._deal, ready, spots, limits)
        return self._shortlists(sought, chosen, kept, model)

    async def _sought(self, records: Sequence[NeedleRecord], model: ModelId) -> list[_Sought]:
        regions = [each.needle.region_id for each in records if each.needle is not None]
        vectors = await self._known_vectors.load(model, regions)
        return [
            _Sought(record, record.needle, vectors[record.needle.region_id])
            for record in sorted(records, key=lambda record: record.needle_id)
            if record.needle is not None and record.needle.region_id in vectors
        ]

    async def _limits(self, model: ModelId) -> Limits:
        frames = await self._vectors.count(collection_of(FRAMES, model), logic.HAYSTACK_FRAMES)
        return logic.limits(frames, self._settings)

    async def _ready(
        self,
        kind: Kind,
        sought: Sequence[_Sought],
        verdicts: Sequence[FrameMatched],
        model: ModelId,
    ) -> _Ready:
        reference = await self._reference.of(kind)
        annotated = [*reference, *(each for each in verdicts if logic.kind_of(each) == kind)]
        modes = logic.truths(annotated, self._settings.region_score)
        frame_of = {region: match.frame_id for match in annotated for region in match.regions}
        learnt = await self._learnt(kind, modes, frame_of, model)
        needles, needle_vectors = _by_mode(sought)
        everyone = np.stack([each.vector for each in sought])
        directions = learnt.directions(list(needles), everyone)
        haystack, places = await self._haystack(kind, directions, model)
        standing = logic.standing(reference)
        return _Ready(DomainKind(learnt, standing, needles, needle_vectors, haystack), places)

    def forget_haystack(self) -> None:
        """Let the haystack be searched again: something was added to it, or taken from it."""
        self._haystacks.clear()

    async def _learnt(
        self,
        kind: Kind,
        modes: Mapping[RegionId, Mode | None],
        frame_of: Mapping[RegionId, FrameId],
        model: ModelId,
    ) -> FailureModel:
        facts = await self._frames.load({frame_of[region] for region in modes})
        features = {region: row for each in facts.values() for region, row in each.features.items()}
        vectors = await self._known_vectors.load(model, list(modes))
        examples = logic.examples(modes, vectors, features, _EXAMPLES_MAX)
        before = self._models.get(kind)
        if before is None or not _same(before[0], examples):
            fitted = await asyncio.to_thread(FailureModel, examples)
            before = self._models[kind] = examples, fitted
        return before[1]

    async def _pool(self, directions: Vectors, where: Where, model: ModelId) -> list[Hit]:
        """The regions that lie farthest in any direction; all of the kind where they are few."""
        pool: dict[str, Hit] = {}
        for direction in directions:
            hits = await self._vectors.nearest(
                collection_of(REGIONS, model), direction, where, self._settings.shortlist_pool
            )
            pool |= {hit.point_id: hit for hit in hits}
            if len(hits) < self._settings.shortlist_pool:
                break
        return [pool[point] for point in sorted(pool)]

    async def _haystack(self, kind: Kind, directions: Vectors, model: ModelId) -> _Searched:
        """What may be shortlisted of a kind, as far as it was searched before."""
        sought = directions.tobytes()
        before = self._haystacks.get(kind)
        if before is None or before[:2] != (model, sought):
            hits = await self._pool(directions, logic.haystack_of(kind, self._settings), model)
            before = self._haystacks[kind] = model, sought, await self._standing_hits(hits, model)
        return before[2]

    async def _standing_hits(self, hits: Sequence[Hit], model: ModelId) -> _Searched:
        """Of these, the regions that still stand, on frames that are not annotated again."""
        regions = [RegionId(str(hit.payload["region_id"])) for hit in hits]
        frames = [FrameId(str(hit.payload["frame_id"])) for hit in hits]
        captured = await self._frames.load(frames)
        vectors = await self._known_vectors.load(model, regions)
        found = [
            (hit, facts, vectors[region], facts.features[region])
            for hit, region, frame in zip(hits, regions, frames, strict=True)
            if region in vectors
            and (facts := captured.get(frame)) is not None
            and region in facts.features
            and not facts.reannotated
        ]
        if not found:
            nothing = np.empty((0, 0))
            return Haystack(nothing.astype(np.float32), nothing, np.empty(0), ()), ()
        haystack = Haystack(
            np.stack([vector for _, _, vector, _ in found]),
            np.stack([row for _, _, _, row in found]),
            np.array([float(hit.payload["score"] or 0) for hit, _, _, _ in found]),
            [facts.spot for _, facts, _, _ in found],
        )
        return haystack, [(hit, facts) for hit, facts, _, _ in found]

    def _deal(
        self,
        ready: Sequence[_Ready],
        kept: Mapping[NeedleId, Sequence[Spot]],
        limits: Limits,
    ) -> dict[NeedleId, _Chosen]:
        strategy = STRATEGIES[self._settings.shortlist_strategy]
        asked = ask([each.kind for each in ready], strategy, self._settings.shortlist_evidence)
        dealt = deal([each.group for each in asked], limits, kept)
        return {
            needle: _Chosen(
                each.model.method(mode),
                [
                    _candidate(vector, asked[number], ready, place)
                    for number, place in dealt.get(needle, ())
                ],
            )
            for each in (one.kind for one in ready)
            for mode, needles in each.needles.items()
            for needle, vector in zip(needles, each.needle_vectors[mode], strict=True)
        }

    def _shortlists(
        self,
        sought: Sequence[_Sought],
        chosen: Mapping[NeedleId, _Chosen],
        kept: Mapping[NeedleId, Sequence[Candidate]],
        model: ModelId,
    ) -> list[ShortlistPublished]:
        shortlists = []
        for each in sought:
            needle_id = each.record.needle_id
            candidates = logic.in_order([*kept[needle_id], *chosen[needle_id].candidates])
            how = logic.provenance(model, chosen[needle_id].method, self._settings)
            shortlist = logic.next_shortlist(each.record, each.needle, candidates, how)
            if shortlist is not None:
                shortlists.append(shortlist)
        return shortlists


def _candidate(vector: Vectors, asked: Asked, ready: Sequence[_Ready], place: int) -> Candidate:
    of = ready[asked.kind]
    similarity = float(vector @ of.kind.haystack.vectors[place])
    return logic.candidate(*of.places[place], similarity, float(asked.evidence[place]))


def _listed(records: Iterable[NeedleRecord]) -> set[FrameId]:
    return {
        candidate.frame_id
        for record in records
        if record.shortlist is not None
        for candidate in record.shortlist.candidates
    }


def _by_mode(
    sought: Sequence[_Sought],
) -> tuple[dict[Mode, list[NeedleId]], dict[Mode, Vectors]]:
    of: defaultdict[Mode, list[_Sought]] = defaultdict(list)
    for each in sought:
        of[each.mode].append(each)
    ids = {mode: [each.record.needle_id for each in needles] for mode, needles in of.items()}
    return ids, {mode: np.stack([n.vector for n in needles]) for mode, needles in of.items()}


def _same(one: Examples, other: Examples) -> bool:
    return (
        one.modes == other.modes
        and np.array_equal(one.vectors, other.vectors)
        and np.array_equal(one.features, other.features)
    )
