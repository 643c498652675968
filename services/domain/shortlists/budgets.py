"""How many tasks may be given out, and which families of needles have earned them.

A task is a haystack frame on a shortlist. There is a budget for the whole haystack, and there may
be budgets for a day: in all, for a vehicle, and for a family of needles. A task's day is the UTC
day on which its frame was captured, not the one on which somebody looks at a clock: so what is
spent follows from what is listed alone, and the same events in another order spend the same.

What a family has yielded so far is taken at the upper end of its interval. A family of which
nothing is known yet counts as if all its tasks came true, and so is tried; one that disappoints
makes room.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

from services.contracts.identity import FamilyId, VehicleId

_NORMAL_975: Final = 1.959964
_DAY_S: Final = 86_400


class Budget(StrEnum):
    """What tasks are counted by; the first one that is spent is what holds a frame back."""

    HAYSTACK = "haystack"
    DAY = "day"
    VEHICLE = "vehicle"
    FAMILY = "family"


class BudgetedTask(NamedTuple):
    """What a task is counted by."""

    day: int
    """Days since 1970."""
    vehicle: VehicleId
    family: FamilyId


@dataclass(frozen=True)
class Budgets:
    """The most tasks.

    Attributes
    ----------
    haystack : in all
    day : of one day; 0 here and below: as many as the others allow
    vehicle, family : of one vehicle, or one family, on one day
    """

    haystack: int
    day: int = 0
    vehicle: int = 0
    family: int = 0

    @cached_property
    def sizes(self) -> Mapping[Budget, int]:
        """The most tasks of each budget that there is."""
        sizes = (self.haystack, self.day, self.vehicle, self.family)
        whole = {Budget.HAYSTACK: self.haystack}
        return whole | {budget: size for budget, size in zip(Budget, sizes, strict=True) if size}


class Spending:
    """How many tasks were given out, by all that they are counted by."""

    def __init__(self) -> None:
        self._spent: Mapping[Budget, Counter[_Counted]] = {budget: Counter() for budget in Budget}

    def add(self, task: BudgetedTask) -> None:
        """One more was given out."""
        for budget, counted in _counted(task):
            self._spent[budget][counted] += 1

    def remove(self, task: BudgetedTask) -> None:
        """One was taken back."""
        for budget, counted in _counted(task):
            self._spent[budget][counted] -= 1

    def exhausted(self, task: BudgetedTask, budgets: Budgets) -> Budget | None:
        """The first budget that has nothing left for a task."""
        counted = dict(_counted(task))
        for budget, size in budgets.sizes.items():
            if self._spent[budget][counted[budget]] >= size:
                return budget
        return None

    def latest(self) -> dict[Budget, int]:
        """All that is spent; and of the latest day, in all and the most by one of its kind."""
        days = [day for (day, _), count in self._spent[Budget.DAY].items() if count]
        last = max(days, default=0)
        return {
            budget: max(
                (n for (day, _), n in spent.items() if day == last or budget is Budget.HAYSTACK),
                default=0,
            )
            for budget, spent in self._spent.items()
        }


_Counted = tuple[int, str]
"""A day, where the budget is of one, and whose."""


def _counted(task: BudgetedTask) -> Iterator[tuple[Budget, _Counted]]:
    return zip(
        Budget,
        ((0, ""), (task.day, ""), (task.day, task.vehicle), (task.day, task.family)),
        strict=True,
    )


def day_of(second: float) -> int:
    """The UTC day of a time in seconds since 1970."""
    return math.floor(second / _DAY_S)


def hoped_yield(confirmed: int, judged: int) -> float:
    """The share of a family's tasks that come true, at the upper end of its 95% interval.

    1 where nothing was judged: optimism in the face of uncertainty, which is what explores.

    References
    ----------
    Wilson (1927), the score interval; Lai and Robbins (1985), upper confidence bounds
    """
    if not judged:
        return 1.0
    z = _NORMAL_975
    share, spread = confirmed / judged, z * z / judged
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / judged + spread / (4 * judged))
    return min(1.0, (middle + half) / (1 + spread))
