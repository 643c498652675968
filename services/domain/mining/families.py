"""Families: needles of one failure mode that look alike, grouped by leader clustering.

Needles are taken in the order of capture: each joins the most similar leader, or becomes the leader
of a new family. The family's id derives from its leader. It therefore stays when the family grows
or merges; when a family splits, the part with the leader keeps it. Nothing is kept between two
calls: the same needles form the same families, whatever order they arrived in.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.contracts.events import ErrorType
from services.contracts.identity import Category, DetectorId, DriveId, FamilyId, NeedleId, family_id
from services.domain.arrays import Vectors
from services.domain.failure_modes import FailureMode
from services.domain.statistics.growing_rows import GrowingRows
from services.domain.unit_vectors import scaled_to_unit


@dataclass(frozen=True)
class Member:
    """A needle with what clustering needs.

    Attributes
    ----------
    vector : (D,) float32, unit length
    answered : whether a frame of its shortlist was reannotated
    """

    needle_id: NeedleId
    detector: DetectorId
    category: Category
    mode: FailureMode
    drive: DriveId | None
    captured_at: datetime
    vector: Vectors
    answered: bool = False


@dataclass(frozen=True)
class Family:
    """Needles that fail alike.

    Attributes
    ----------
    needles : all members, in the order of capture
    exemplar : the member most similar to the others
    resolved : a member was answered, and `quiet_drives` later drives added no member
    """

    family_id: FamilyId
    detector: DetectorId
    category: Category
    error_type: ErrorType
    true_category: Category | None
    needles: tuple[NeedleId, ...]
    exemplar: NeedleId
    first_seen: datetime
    last_seen: datetime
    resolved: bool

    @property
    def size(self) -> int:
        """The number of needles."""
        return len(self.needles)


def families(
    members: Iterable[Member],
    *,
    likeness: float,
    drives: Collection[tuple[DriveId, datetime]] = (),
    quiet_drives: int = 1,
) -> list[Family]:
    """All families, the largest first, then the oldest.

    Parameters
    ----------
    likeness : minimal cosine between a needle and the leader of its family
    drives : every reference drive with the time of its first frame
    quiet_drives : an answered family is resolved after this many drives without a new member
    """
    by_mode: defaultdict[tuple[DetectorId, Category, FailureMode], list[Member]] = defaultdict(list)
    for member in members:
        by_mode[member.detector, member.category, member.mode].append(member)
    found = [
        _family(cluster, drives, quiet_drives)
        for of_mode in by_mode.values()
        for cluster in _clusters(of_mode, likeness)
    ]
    return sorted(found, key=lambda family: (-family.size, family.first_seen, family.family_id))


def _clusters(members: Iterable[Member], likeness: float) -> list[list[Member]]:
    groups: defaultdict[NeedleId, list[Member]] = defaultdict(list)
    clusters = LeaderClusters(likeness)
    for member in sorted(members, key=lambda item: (item.captured_at, item.needle_id)):
        groups[clusters.join(member.needle_id, member.vector)].append(member)
    return list(groups.values())


_MAX_LEADERS = 256
"""Families of one failure mode; then a needle joins the most similar, however similar it is. It
bounds what a needle and a candidate cost; a person reads some tens of families."""


class LeaderClusters:
    """Online leader clustering of the needles of one failure mode."""

    def __init__(self, likeness: float) -> None:
        self._likeness = likeness
        self._needles: list[NeedleId] = []
        self._vectors = GrowingRows(np.float32)

    def join(self, needle: NeedleId, vector: Vectors) -> NeedleId:
        """The leader of the needle's family; the needle itself if no leader is similar enough.

        After _MAX_LEADERS leaders, the most similar one.
        """
        if self._needles:
            similar = self._vectors.rows @ vector
            nearest = int(similar.argmax())
            if similar[nearest] >= self._likeness or len(self._needles) >= _MAX_LEADERS:
                return self._needles[nearest]
        self.add(needle, vector)
        return needle

    def add(self, needle: NeedleId, vector: Vectors) -> None:
        """Add a leader."""
        self._needles.append(needle)
        self._vectors.add(vector)


def shared_by(vectors: Vectors) -> Vectors:
    """(D,), the mean vector: what all needles share does not distinguish them."""
    return np.asarray(vectors.mean(axis=0) if len(vectors) > 1 else np.zeros_like(vectors[0]))


def beyond(shared: Vectors, vectors: Vectors) -> Vectors:
    """(N, D) of unit length: the vectors without their shared part."""
    return scaled_to_unit(vectors - shared)


def _family(
    members: Sequence[Member],
    drives: Collection[tuple[DriveId, datetime]],
    quiet_drives: int,
) -> Family:
    leader, last = members[0], members[-1]
    vectors = np.stack([member.vector for member in members])
    central = int((vectors @ vectors.sum(axis=0)).argmax())
    since = sum(started > last.captured_at for _, started in drives)
    return Family(
        family_id=family_id(leader.needle_id),
        detector=leader.detector,
        category=leader.category,
        error_type=leader.mode.error,
        true_category=leader.mode.true_category,
        needles=tuple(member.needle_id for member in members),
        exemplar=members[central].needle_id,
        first_seen=leader.captured_at,
        last_seen=last.captured_at,
        resolved=any(member.answered for member in members) and since >= quiet_drives,
    )
