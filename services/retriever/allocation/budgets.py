"""What a person and Prometheus are told of budgets."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from services.contracts.identity import Category, DetectorId
from services.domain.shortlists.budgets import Budget, Budgets
from services.domain.shortlists.scored_candidates import HeldBack, Limits
from services.runtime.observability import metrics
from services.runtime.settings import Settings
from services.runtime.stores.budget_reports import BudgetReport, HeldBackFrame

_HELD_BACK_MAX = 1000
"""Frames that a report names; the others are counted."""


def limits_of(haystack_frames: int, settings: Settings) -> Limits:
    """How much is shown of a haystack of so many frames."""
    budget = int(haystack_frames * settings.shortlist_budget)
    budgets = Budgets(
        haystack=max(budget, settings.shortlist_size),
        day=settings.budget_per_day,
        vehicle=settings.budget_per_vehicle,
        family=settings.budget_per_family,
    )
    return Limits(
        budgets=budgets,
        size=settings.shortlist_size,
        per_drive=settings.shortlist_per_drive,
        apart_s=settings.shortlist_apart_s,
        apart_m=settings.shortlist_apart_m,
    )


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
        [_held_back(back) for back in held_back[:_HELD_BACK_MAX]],
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
    for report in reports:
        detector = metrics.DETECTORS(report.detector)
        for budget, size in report.sizes.items():
            metrics.SHORTLIST_BUDGET.labels(detector, budget.value).set(size)
            metrics.SHORTLIST_SPENT.labels(detector, budget.value).set(report.spent[budget])
            metrics.SHORTLIST_HELD_BACK.labels(detector, budget.value).set(report.held_back[budget])
