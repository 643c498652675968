"""Changes between two clusterings: which families merged, and which split."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.contracts.identity import FamilyId, NeedleId


class Change(StrEnum):
    """What happened to a family."""

    MERGED = "merged"
    """The family is gone; most of its needles are in the other one."""
    SPLIT = "split"
    """Some of its needles form a new family, the other one."""


@dataclass(frozen=True)
class FamilyChange:
    """A merge or a split; `needles` is the number that went from `family` to `other`."""

    change: Change
    family: FamilyId
    other: FamilyId
    needles: int


def family_changes(
    before: Mapping[NeedleId, FamilyId], after: Mapping[NeedleId, FamilyId]
) -> list[FamilyChange]:
    """The merges and splits from one clustering to the next, in the order of the families' ids.

    New and retracted needles do not count as changes. Needles that move between two families that
    both existed and still exist do not either. A family has the id of its leader.
    """
    moves: defaultdict[FamilyId, Counter[FamilyId]] = defaultdict(Counter)
    for needle in sorted(before.keys() & after.keys()):
        moves[before[needle]][after[needle]] += 1
    old, new = set(before.values()), set(after.values())
    changes = []
    for family, others in sorted(moves.items()):
        if family not in new:
            other, needles = min(others.items(), key=lambda item: (-item[1], item[0]))
            changes.append(FamilyChange(Change.MERGED, family, other, needles))
            continue
        changes += [
            FamilyChange(Change.SPLIT, family, other, needles)
            for other, needles in sorted(others.items())
            if other != family and other not in old
        ]
    return changes
