"""Limits from settings, and reports of budgets for the review page and Prometheus."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from services.contracts.identity import Category, DetectorId
from services.domain.ports.budget_reports import BudgetReport, HeldBackFrame
from services.domain.shortlists.budgets import Budget, Budgets, haystack_budget
from services.domain.shortlists.epochs import Epoch
from services.domain.shortlists.scored_candidates import HeldBack, Limits
from services.runtime.observability import metrics
from services.runtime.observability.bounded_labels import DETECTORS
from services.runtime.observability.gauge_values import clear_all
from services.runtime.settings import Settings

_MAX_HELD_BACK = 1000
"""The most held-back frames that a report names; it only counts the others."""


def limits_of(haystack_frames: int, settings: Settings) -> Limits:
    """The limits of shortlists for a haystack of `haystack_frames` frames.

    Frames that are drawn by chance have a share of the budget to themselves, so that which frames
    are chosen does not depend on them.
    """
    haystack = haystack_budget(haystack_frames, settings.shortlist_budget, settings.shortlist_size)
    budgets = Budgets(
        haystack=haystack - int(haystack * settings.sampled_share),
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


def limits_at(epoch: Epoch, settings: Settings) -> Limits:
    """The limits of shortlists for the haystack of an epoch."""
    return limits_of(epoch.sizes[-1].haystack, settings)


def budget_report(
    detector: DetectorId,
    budgets: Budgets,
    spent: Mapping[Budget, int],
    held_back: Sequence[HeldBack],
) -> BudgetReport:
    """The budgets of one detector: sizes, spending, and the frames held back.

    Parameters
    ----------
    held_back : the most valuable first
    """
    return BudgetReport(
        detector,
        budgets.sizes,
        {budget: spent[budget] for budget in budgets.sizes},
        {budget: sum(h.budget is budget for h in held_back) for budget in budgets.sizes},
        [_held_back(item) for item in held_back[:_MAX_HELD_BACK]],
    )


def _held_back(held: HeldBack) -> HeldBackFrame:
    _, category, error, true_category = held.key
    context = held.candidate.context
    return HeldBackFrame(
        context.frame,
        context.vehicle,
        datetime.fromtimestamp(context.second, UTC),
        Category(category),
        error,
        true_category,
        held.candidate.family,
        round(held.candidate.evidence, 2),
        held.candidate.worth,
        held.budget,
    )


def show_budgets(reports: Sequence[BudgetReport]) -> None:
    """Show budget sizes, spending and held-back frames in place of all others."""
    clear_all((metrics.SHORTLIST_BUDGET, metrics.SHORTLIST_SPENT, metrics.SHORTLIST_HELD_BACK))
    for report in reports:
        detector = DETECTORS(report.detector)
        for budget, size in report.sizes.items():
            metrics.SHORTLIST_BUDGET.labels(detector, budget.value).set(size)
            metrics.SHORTLIST_SPENT.labels(detector, budget.value).set(report.spent[budget])
            metrics.SHORTLIST_HELD_BACK.labels(detector, budget.value).set(report.held_back[budget])
