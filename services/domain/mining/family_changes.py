"""How families came to be other families: which took in another, and which fell apart."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.contracts.identity import FamilyId, NeedleId


class Change(StrEnum):
    """What happened to a family."""

    MERGED = "merged"
    """It is no more; most of its needles are in the other one."""
    SPLIT = "split"
    """Some of its needles are a family of their own, which is the other one."""


@dataclass(frozen=True)
class FamilyChange:
    """One family and the other one; `needles` went from the first to the second."""

    change: Change
    family: FamilyId
    other: FamilyId
    needles: int


def family_changes(
    before: Mapping[NeedleId, FamilyId], after: Mapping[NeedleId, FamilyId]
) -> list[FamilyChange]:
    """What happened from one gathering to the next, in the order of the families' ids.

    Needles that are new or retracted make no change, nor do those that only went over to a
    family that was there, while their own goes on. A family keeps the id of its founder.
    """
    went: defaultdict[FamilyId, Counter[FamilyId]] = defaultdict(Counter)
    for needle in sorted(before.keys() & after.keys()):
        went[before[needle]][after[needle]] += 1
    old, new = set(before.values()), set(after.values())
    changes = []
    for family, others in sorted(went.items()):
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
