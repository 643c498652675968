"""Needles that fail alike, gathered: what a person wants to read first.

A family has needles of one kind and mode that look alike. Members are taken in the order in which
they were captured: each joins the founder that it resembles most, or founds a family. The founder
names the family, so its id stays as it grows, when it takes in another's members, and with the part
that has the founder when it falls apart. Nothing is remembered from one time to the next: the same
needles make the same families, in whatever order they became known.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.contracts.events import ErrorType
from services.contracts.identity import Category, DetectorId, DriveId, FamilyId, NeedleId, family_id
from services.domain.mining.failure_model import FailureMode
from services.domain.mining.ranking import Vectors
from services.domain.statistics.growing_rows import GrowingRows


@dataclass(frozen=True)
class Member:
    """A needle, as far as families go.

    Attributes
    ----------
    vector : (D,) float32, unit length
    answered : whether a frame of its shortlist came back annotated
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
    """A failure mode with a face.

    Attributes
    ----------
    needles : all members, in the order in which they were captured
    exemplar : the member most like all others
    resolved : annotators answered, and then no new member came for so many drives
    """

    family_id: FamilyId
    detector: DetectorId
    category: Category
    error_type: ErrorType
    taken_for: Category | None
    needles: tuple[NeedleId, ...]
    exemplar: NeedleId
    first_seen: datetime
    last_seen: datetime
    resolved: bool

    @property
    def size(self) -> int:
        """How many needles."""
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
    likeness : cosine to the founder from which a needle belongs to its family
    drives : every reference drive with the time of its first frame
    quiet_drives : drives without a new member after which an answered family is resolved
    """
    of: defaultdict[tuple[DetectorId, Category, FailureMode], list[Member]] = defaultdict(list)
    for member in members:
        of[member.detector, member.category, member.mode].append(member)
    found = [
        _family(gathered, drives, quiet_drives)
        for alike in of.values()
        for gathered in _gathered(alike, likeness)
    ]
    return sorted(found, key=lambda family: (-family.size, family.first_seen, family.family_id))


def _gathered(members: Iterable[Member], likeness: float) -> list[list[Member]]:
    groups: defaultdict[NeedleId, list[Member]] = defaultdict(list)
    clusters = LeaderClusters(likeness)
    for member in sorted(members, key=lambda item: (item.captured_at, item.needle_id)):
        groups[clusters.join(member.needle_id, member.vector)].append(member)
    return list(groups.values())


class LeaderClusters:
    """Those who founded the families of one kind and mode."""

    def __init__(self, likeness: float) -> None:
        self._likeness = likeness
        self._needles: list[NeedleId] = []
        self._vectors = GrowingRows(np.float32)

    def join(self, needle: NeedleId, vector: Vectors) -> NeedleId:
        """The founder whose family a needle is of; itself where it is like none of them."""
        if self._needles:
            similar = self._vectors.rows @ vector
            nearest = int(similar.argmax())
            if similar[nearest] >= self._likeness:
                return self._needles[nearest]
        self._needles.append(needle)
        self._vectors.add(vector)
        return needle


def shared_by(vectors: Vectors) -> Vectors:
    """(D,), what all needles have in common, which says nothing about which are alike."""
    return np.asarray(vectors.mean(axis=0) if len(vectors) > 1 else np.zeros_like(vectors[0]))


def beyond(shared: Vectors, vectors: Vectors) -> Vectors:
    """(N, D) of unit length, what each has besides."""
    rest = vectors - shared
    return np.asarray(rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-9))


def _family(
    members: Sequence[Member],
    drives: Collection[tuple[DriveId, datetime]],
    quiet_drives: int,
) -> Family:
    founder, last = members[0], members[-1]
    vectors = np.stack([member.vector for member in members])
    central = int((vectors @ vectors.sum(axis=0)).argmax())
    since = sum(started > last.captured_at for _, started in drives)
    return Family(
        family_id=family_id(founder.needle_id),
        detector=founder.detector,
        category=founder.category,
        error_type=founder.mode.error,
        taken_for=founder.mode.taken_for,
        needles=tuple(member.needle_id for member in members),
        exemplar=members[central].needle_id,
        first_seen=founder.captured_at,
        last_seen=last.captured_at,
        resolved=any(member.answered for member in members) and since >= quiet_drives,
    )
