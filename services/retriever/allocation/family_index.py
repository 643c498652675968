"""The families of a detector's active needles, and the exemplars that represent them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from services.contracts.identity import FamilyId, NeedleId, RegionId, family_id
from services.contracts.needles import NeedleFound
from services.domain.arrays import Vector, Vectors
from services.domain.mining.families import LeaderClusters, beyond, shared_by
from services.domain.shortlists.candidate_scoring import ModeQuery
from services.domain.shortlists.scored_candidates import Key
from services.retriever.changelog import Changelog, TableSpec

_CLUSTERED_AGAIN = 1.5
"""Cluster again when there are so many times the needles of the first clustering, because the mean
that is taken off their vectors is that of the first."""


@dataclass(frozen=True)
class _First:
    """The first clustering: the mean vector of its needles, and how many there were."""

    shared: tuple[float, ...]
    count: int


FAMILIES: TableSpec[NeedleId, tuple[Key, FamilyId]] = TableSpec(
    "families", NeedleId, tuple[tuple[str, ...], FamilyId]
)
LEADERS: TableSpec[tuple[Key, NeedleId], RegionId] = TableSpec(
    "leaders", tuple[tuple[str, ...], NeedleId], RegionId
)
FIRST: TableSpec[str, _First] = TableSpec("first_clustering", str, _First)
_ONLY = ""
"""The key of the one row of FIRST."""


class FamilyIndex:
    """Assigns needles to families; the same as `gazeloop families` if all join in one call.

    Later needles join in the order of the calls; the mean vector is that of the first call. A
    family's exemplar is the needle that leads it, which stays when the family grows.
    """

    def __init__(self, likeness: float, changelog: Changelog) -> None:
        self._first = changelog.table(FIRST)
        self._families = changelog.table(FAMILIES)
        self._leaders = changelog.table(LEADERS)
        self._clusters: defaultdict[Key, LeaderClusters] = defaultdict(
            lambda: LeaderClusters(likeness)
        )
        self._sizes: defaultdict[Key, Counter[FamilyId]] = defaultdict(Counter)
        self._exemplars: defaultdict[Key, dict[FamilyId, Vector]] = defaultdict(dict)

    @property
    def leading_regions(self) -> list[RegionId]:
        """The regions whose vectors `restore` needs."""
        return list(self._leaders.values())

    @property
    def needs_clustering(self) -> bool:
        """Whether there are so many more needles that all should be clustered again."""
        first = self._first.get(_ONLY)
        return len(self._families) >= max(2, _CLUSTERED_AGAIN * (first.count if first else 0))

    def restore(self, vectors: Mapping[RegionId, Vector]) -> None:
        """Restore the state in the changelog. Call this once, before needles join."""
        if self._leaders:
            rows = self._beyond(np.stack([vectors[region] for region in self._leaders.values()]))
            for ((key, needle), region), row in zip(self._leaders.items(), rows, strict=True):
                self._clusters[key].add(needle, row)
                self._exemplars[key][family_id(needle)] = vectors[region]
        for key, family in self._families.values():
            self._sizes[key][family] += 1

    def join(
        self, needles: Iterable[tuple[Key, NeedleFound]], vectors: Mapping[RegionId, Vector]
    ) -> None:
        """Assign needles to families, each within its mode."""
        ordered = sorted(needles, key=lambda item: (item[1].captured_at, item[1].needle_id))
        if not ordered:
            return
        rows = np.stack([vectors[needle.region_id] for _, needle in ordered])
        if _ONLY not in self._first:
            self._first[_ONLY] = _First(tuple(shared_by(rows).tolist()), len(ordered))
        for (key, needle), row in zip(ordered, self._beyond(rows), strict=True):
            leader = self._clusters[key].join(needle.needle_id, row)
            family = family_id(leader)
            if leader == needle.needle_id:
                self._exemplars[key][family] = vectors[needle.region_id]
                self._leaders[key, leader] = needle.region_id
            self._families[needle.needle_id] = key, family
            self._sizes[key][family] += 1

    def leave(self, needle: NeedleId) -> None:
        """Remove a needle. Its family keeps its exemplar, and is not searched for while empty."""
        key, family = self._families.pop(needle)
        self._sizes[key][family] -= 1

    def family_of(self, needle: NeedleId) -> FamilyId:
        """The family of a needle that joined."""
        return self._families[needle][1]

    def mode_query(self, key: Key) -> ModeQuery:
        """The families of one mode that have needles, with their exemplars."""
        exemplars = self._exemplars[key]
        families = [family for family in exemplars if self._sizes[key][family] > 0]
        return ModeQuery(np.stack([exemplars[family] for family in families]), families)

    def _beyond(self, rows: Vectors) -> Vectors:
        return beyond(np.array(self._first[_ONLY].shared, np.float32), rows)
