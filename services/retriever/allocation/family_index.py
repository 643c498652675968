"""The families of a detector's needles while they ask, and what their tasks have yielded so far."""

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
from services.domain.shortlists.budgets import hoped_yield
from services.domain.shortlists.scored_candidates import Key


@dataclass(frozen=True)
class Verdict:
    """What became of a task: whether its region fails as its mode does."""

    family: FamilyId
    confirmed: bool


class FamilyIndex:
    """Families as `gazeloop families` has them, once all needles came in one call.

    Needles that come later join as they come; what all needles share is taken from the first.
    """

    def __init__(self, likeness: float) -> None:
        self._shared: Vectors | None = None
        self._founders: defaultdict[Key, LeaderClusters] = defaultdict(
            lambda: LeaderClusters(likeness)
        )
        self._families: dict[NeedleId, FamilyId] = {}
        self._yields: Mapping[FamilyId, float] = {}

    def join(
        self, needles: Iterable[tuple[Key, NeedleFound]], vectors: Mapping[RegionId, Vector]
    ) -> None:
        """Let these be of a family, each with its mode."""
        came = sorted(needles, key=lambda item: (item[1].captured_at, item[1].needle_id))
        if not came:
            return
        rows = np.stack([vectors[needle.region_id] for _, needle in came])
        if self._shared is None:
            self._shared = shared_by(rows)
        for (key, needle), row in zip(came, beyond(self._shared, rows), strict=True):
            founder = self._founders[key].join(needle.needle_id, row)
            self._families[needle.needle_id] = family_id(founder)

    def judge(self, verdicts: Iterable[Verdict]) -> None:
        """Take what families have yielded from these alone."""
        judged: Counter[FamilyId] = Counter()
        confirmed: Counter[FamilyId] = Counter()
        for verdict in verdicts:
            judged[verdict.family] += 1
            confirmed[verdict.family] += verdict.confirmed
        self._yields = {item: hoped_yield(confirmed[item], n) for item, n in judged.items()}

    def family_of(self, needle: NeedleId) -> FamilyId:
        """The family of a needle that joined."""
        return self._families[needle]

    def asked(self, needles: Sequence[NeedleId], vectors: Vectors) -> ModeQuery:
        """Needles of one mode, with what is known of their families."""
        return ModeQuery(vectors, [self._families[needle] for needle in needles], self._yields)
