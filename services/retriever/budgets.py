"""What a person and Prometheus are told of budgets."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from services.contracts.identity import Category, DetectorId
from services.domain.budgets import Budget, Budgets
from services.domain.shortlist_offers import HeldBack
from services.runtime import metrics
from services.runtime.stores.budget_reports import BudgetReport, HeldBackFrame

_HELD_BACK_MAX = 1000
"""Frames that a report names; the others are counted."""


def budget_report(
    detector: DetectorId,
    budgets: Budgets,
    spent: Mapping[Budget, int],
    held_back: Sequence[HeldBack],
) -> BudgetReport:
    """What a person is told of one detector's budgets.

    Parameters
    ----------
    held_back : what gains most first
    """
    return BudgetReport(
        detector,
        budgets.sizes,
        {budget: spent[budget] for budget in budgets.sizes},
        {budget: sum(h.budget is budget for h in held_back) for budget in budgets.sizes},
        [_held_back(each) for each in held_back[:_HELD_BACK_MAX]],
    )


def _held_back(held: HeldBack) -> HeldBackFrame:
    _, category, error, taken_for = held.key
    spot = held.offer.spot
    return HeldBackFrame(
        spot.frame,
        spot.vehicle,
        datetime.fromtimestamp(spot.second, UTC),
        Category(category),
        error,
        taken_for,
        held.offer.family,
        round(held.offer.evidence, 2),
        held.offer.worth,
        held.budget,
    )


def show_budgets(reports: Sequence[BudgetReport]) -> None:
    """As gauges: how large budgets are, what of them is spent, what they hold back."""
    for each in reports:
        detector = metrics.DETECTORS(each.detector)
        for budget, size in each.sizes.items():
            metrics.SHORTLIST_BUDGET.labels(detector, budget.value).set(size)
            metrics.SHORTLIST_SPENT.labels(detector, budget.value).set(each.spent[budget])
            metrics.SHORTLIST_HELD_BACK.labels(detector, budget.value).set(each.held_back[budget])
