"""Budgets of annotation tasks: how many there may be, and how a family's yield ranks it.

A task is a haystack frame on a shortlist. There is a budget for the whole haystack, and there may
be budgets per day: in total, per vehicle, and per family of needles. A task's day is the UTC day on
which its frame was captured, not the day of processing: what is spent depends on the shortlists
alone, and the same events in another order spend the same.

A family's yield is estimated by the upper end of its confidence interval. A family without verdicts
counts as if all its tasks were confirmed, so it gets tried; one with low yield loses rank.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

from services.contracts.identity import FamilyId, VehicleId
from services.domain.statistics.significance import wilson_upper_bound

_DAY_S: Final = 86_400


class Budget(StrEnum):
    """The budgets, in order: the first one that is spent is reported as holding a frame back."""

    HAYSTACK = "haystack"
    DAY = "day"
    VEHICLE = "vehicle"
    FAMILY = "family"


class BudgetedTask(NamedTuple):
    """The day, vehicle and family that a task counts for."""

    day: int
    """Days since 1970."""
    vehicle: VehicleId
    family: FamilyId


def haystack_budget(frames: int, share: float, shortlist_size: int) -> int:
    """The number of haystack frames that may be listed: a share, but at least one shortlist."""
    return max(int(frames * share), shortlist_size)


@dataclass(frozen=True)
class Budgets:
    """Upper limits on the number of tasks.

    Attributes
    ----------
    haystack : in total
    day : per day; here and below, 0 means no limit of its own
    vehicle, family : per day and vehicle, or per day and family
    """

    haystack: int
    day: int = 0
    vehicle: int = 0
    family: int = 0

    @cached_property
    def sizes(self) -> Mapping[Budget, int]:
        """The limit of every budget that is set."""
        sizes = (self.haystack, self.day, self.vehicle, self.family)
        whole = {Budget.HAYSTACK: self.haystack}
        return whole | {budget: size for budget, size in zip(Budget, sizes, strict=True) if size}


class Spending:
    """Counts the tasks on shortlists, per budget."""

    def __init__(self) -> None:
        self._spent: Mapping[Budget, Counter[_Counted]] = {budget: Counter() for budget in Budget}

    def add(self, task: BudgetedTask) -> None:
        """Count a task."""
        for budget, counted in _counted(task):
            self._spent[budget][counted] += 1

    def remove(self, task: BudgetedTask) -> None:
        """Stop counting a task."""
        for budget, counted in _counted(task):
            self._spent[budget][counted] -= 1

    def exhausted(self, task: BudgetedTask, budgets: Budgets) -> Budget | None:
        """The first budget that has no room for a task; None if all have."""
        counted = dict(_counted(task))
        for budget, size in budgets.sizes.items():
            if self._spent[budget][counted[budget]] >= size:
                return budget
        return None

    def latest(self) -> dict[Budget, int]:
        """Tasks in total; on the latest day, in total and by the busiest vehicle and family."""
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
"""A day and a vehicle or family; 0 and "" where the budget has none."""


def _counted(task: BudgetedTask) -> Iterator[tuple[Budget, _Counted]]:
    return zip(
        Budget,
        ((0, ""), (task.day, ""), (task.day, task.vehicle), (task.day, task.family)),
        strict=True,
    )


def day_of(second: float) -> int:
    """The UTC day of a time in seconds since 1970."""
    return math.floor(second / _DAY_S)


def optimistic_yield(confirmed: int, judged: int) -> float:
    """The share of a family's tasks that are confirmed, at the upper end of its 95% interval.

    1 where nothing was judged: optimism in the face of uncertainty makes untried families explored.

    References
    ----------
    Lai and Robbins (1985), upper confidence bounds
    """
    if not judged:
        return 1.0
    return wilson_upper_bound(confirmed, judged)
