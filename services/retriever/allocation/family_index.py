"""The families of a detector's active needles, and the yields of their tasks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.contracts.events import NeedleFound
from services.contracts.identity import FamilyId, NeedleId, RegionId, family_id
from services.domain.mining.detector_category import ModeQuery
from services.domain.mining.families import LeaderClusters, beyond, shared_by
from services.domain.mining.ranking import Vectors
from services.domain.ports.vectors import Vector
from services.domain.shortlists.budgets import optimistic_yield
from services.domain.shortlists.scored_candidates import Key


@dataclass(frozen=True)
class Verdict:
    """The verdict on a task: whether its region fails in the needle's mode."""

    family: FamilyId
    confirmed: bool


class FamilyIndex:
    """Assigns needles to families; the same as `gazeloop families` if all join in one call.

    Later needles join in the order of the calls; the mean vector is that of the first call.
    """

    def __init__(self, likeness: float) -> None:
        self._shared: Vectors | None = None
        self._clusters: defaultdict[Key, LeaderClusters] = defaultdict(
            lambda: LeaderClusters(likeness)
        )
        self._families: dict[NeedleId, FamilyId] = {}
        self._yields: Mapping[FamilyId, float] = {}

    def join(
        self, needles: Iterable[tuple[Key, NeedleFound]], vectors: Mapping[RegionId, Vector]
    ) -> None:
        """Assign needles to families, each within its mode."""
        ordered = sorted(needles, key=lambda item: (item[1].captured_at, item[1].needle_id))
        if not ordered:
            return
        rows = np.stack([vectors[needle.region_id] for _, needle in ordered])
        if self._shared is None:
            self._shared = shared_by(rows)
        for (key, needle), row in zip(ordered, beyond(self._shared, rows), strict=True):
            leader = self._clusters[key].join(needle.needle_id, row)
            self._families[needle.needle_id] = family_id(leader)

    def judge(self, verdicts: Iterable[Verdict]) -> None:
        """Replace the yields of families by those of these verdicts."""
        judged: Counter[FamilyId] = Counter()
        confirmed: Counter[FamilyId] = Counter()
        for verdict in verdicts:
            judged[verdict.family] += 1
            confirmed[verdict.family] += verdict.confirmed
        self._yields = {item: optimistic_yield(confirmed[item], n) for item, n in judged.items()}

    def family_of(self, needle: NeedleId) -> FamilyId:
        """The family of a needle that joined."""
        return self._families[needle]

    def mode_query(self, needles: Sequence[NeedleId], vectors: Vectors) -> ModeQuery:
        """The needles of one mode, with their families and yields."""
        return ModeQuery(vectors, [self._families[needle] for needle in needles], self._yields)
