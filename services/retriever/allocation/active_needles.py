"""The active needles of one detector by failure mode: what the haystack is searched for."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from services.contracts.identity import (
    Category,
    DetectorId,
    FamilyId,
    FrameId,
    ModelId,
    NeedleId,
    RegionId,
)
from services.domain.arrays import Vector
from services.domain.failure_modes import FailureMode
from services.domain.ports.needles import NeedleRecord
from services.domain.shortlists.candidate_scoring import ModeQuery
from services.domain.shortlists.scored_candidates import Key
from services.retriever import logic
from services.retriever.allocation.family_index import FamilyIndex
from services.retriever.caches import VectorCache
from services.retriever.changelog import Changelog, TableSpec
from services.retriever.logic import DetectorCategory, FrameFacts


class Admitted(NamedTuple):
    """A needle that was added to a failure mode; `has_moved` if it left another one."""

    needle: NeedleId
    key: Key
    family: FamilyId
    has_moved: bool


MODES: TableSpec[NeedleId, tuple[DetectorCategory, FailureMode]] = TableSpec(
    "modes", NeedleId, tuple[tuple[DetectorId, Category], FailureMode]
)
WAITING: TableSpec[NeedleId, FrameId] = TableSpec("waiting", NeedleId, FrameId)
"""Needles whose region is not embedded yet, with their frames."""


class ActiveNeedles:
    """Needles whose regions are embedded, with their families; the others wait."""

    def __init__(
        self, vectors: VectorCache, likeness: float, model: ModelId, changelog: Changelog
    ) -> None:
        self._vectors = vectors
        self._model = model
        self._families = FamilyIndex(likeness, changelog)
        self._mode_of = changelog.table(MODES)
        self._not_embedded = changelog.table(WAITING)
        self._modes: defaultdict[DetectorCategory, Counter[FailureMode]] = defaultdict(Counter)
        self._joined: defaultdict[DetectorCategory, set[FailureMode]] = defaultdict(set)

    def __contains__(self, needle: NeedleId) -> bool:
        return needle in self._mode_of

    @property
    def waiting(self) -> Collection[NeedleId]:
        """Needles whose region is not embedded yet."""
        return self._not_embedded.keys()

    @property
    def known(self) -> set[NeedleId]:
        """All needles."""
        return {*self._mode_of, *self._not_embedded}

    @property
    def needs_clustering(self) -> bool:
        """Whether there are so many more needles that all should be clustered again."""
        return self._families.needs_clustering

    def waiting_for(self, frames: Mapping[FrameId, FrameFacts]) -> list[NeedleId]:
        """The needles on these frames that wait for their region's vector."""
        return sorted(needle for needle, frame in self._not_embedded.items() if frame in frames)

    async def restore(self) -> list[tuple[Key, NeedleId, FamilyId]] | None:
        """Restore the changelog's state; None if the vector of an exemplar is no longer stored.

        Returns the needles with their modes and families. Call this once, before `admit`.
        """
        regions = self._families.leading_regions
        vectors = await self._vectors.load(self._model, regions)
        if any(region not in vectors for region in regions):
            return None
        self._families.restore(vectors)
        for detector_category, mode in self._mode_of.values():
            self._modes[detector_category][mode] += 1
        return [
            (logic.key_of(*category_mode), needle, self._families.family_of(needle))
            for needle, category_mode in self._mode_of.items()
        ]

    async def admit(self, records: Iterable[NeedleRecord]) -> list[Admitted]:
        """Add the needles whose regions are embedded; those that are new or changed their mode."""
        found = {record.needle_id: record.needle for record in records if record.needle is not None}
        regions = [needle.region_id for needle in found.values()]
        vectors = await self._vectors.load(self._model, regions)
        joining = {}
        for needle_id, needle in sorted(found.items()):
            if needle.region_id not in vectors:
                self._not_embedded[needle_id] = needle.frame_id
                continue
            self._not_embedded.pop(needle_id, None)
            category_mode = logic.category_mode_of(needle)
            before = self._mode_of.get(needle_id)
            if before != category_mode:
                self.remove(needle_id)
                joining[needle_id] = category_mode, needle, before is not None
        keyed = [
            (logic.key_of(*joining_mode), needle) for joining_mode, needle, _ in joining.values()
        ]
        self._families.join(keyed, vectors)
        admitted = []
        for needle_id, (category_mode, _, has_moved) in joining.items():
            self._join(needle_id, *category_mode)
            family = self._families.family_of(needle_id)
            admitted.append(Admitted(needle_id, logic.key_of(*category_mode), family, has_moved))
        return admitted

    def remove(self, needle_id: NeedleId) -> None:
        """Remove a needle, unless it is not there."""
        self._not_embedded.pop(needle_id, None)
        if needle_id not in self._mode_of:
            return
        detector_category, mode = self._mode_of.pop(needle_id)
        self._families.leave(needle_id)
        modes = self._modes[detector_category]
        modes[mode] -= 1
        if not modes[mode]:
            del modes[mode]
        if not modes:
            del self._modes[detector_category]

    def mode_of(self, needle: NeedleId) -> tuple[DetectorCategory, FailureMode]:
        """The failure mode of a needle that was admitted."""
        return self._mode_of[needle]

    def family(self, needle: NeedleId, vector: Vector | None) -> FamilyId:
        """The family that a listed region counts for; its needle's if it has no vector."""
        if vector is None:
            return self._families.family_of(needle)
        return self.exemplars(*self._mode_of[needle]).families_of(vector[None])[0]

    async def families_of(
        self, listed: Sequence[tuple[NeedleId, RegionId]]
    ) -> dict[RegionId, FamilyId]:
        """The family that each listed region counts for."""
        vectors = await self._vectors.load(self._model, [region for _, region in listed])
        return {region: self.family(needle, vectors.get(region)) for needle, region in listed}

    def modes(self) -> Mapping[DetectorCategory, Collection[FailureMode]]:
        """The modes with needles of each category."""
        return self._modes

    def joined(self) -> Mapping[DetectorCategory, AbstractSet[FailureMode]]:
        """The modes that had no needle before this epoch, or for a while in it."""
        return {
            category: joined for category, joined in self._joined.items() if category in self._modes
        }

    def exemplars(self, detector_category: DetectorCategory, mode: FailureMode) -> ModeQuery:
        """The families of a mode, each with its exemplar."""
        return self._families.mode_query(logic.key_of(detector_category, mode))

    def close_epoch(self) -> None:
        """From now on, no mode is new."""
        self._joined.clear()

    def _join(
        self, needle_id: NeedleId, detector_category: DetectorCategory, mode: FailureMode
    ) -> None:
        self._mode_of[needle_id] = detector_category, mode
        modes = self._modes[detector_category]
        if not modes[mode]:
            self._joined[detector_category].add(mode)
        modes[mode] += 1
