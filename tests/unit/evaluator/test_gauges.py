"""One module sets and clears the gauges of detectors: none shows what is no longer so.

A process that lost its job clears them; new figures replace all others.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client import Gauge

from services.app import family_marking, upkeep
from services.evaluator.live import gauges as live
from services.evaluator.reports import gauges as reports
from services.retriever import estimate_gauges as estimates
from services.retriever.allocation import budgets
from services.runtime.observability import detector_metrics, metrics

SERVICES = Path(metrics.__file__).parents[2]
METRICS = vars(metrics) | vars(detector_metrics)
SOURCES = {path: path.read_text() for path in SERVICES.rglob("*.py")}
CLEARED_BY: dict[ModuleType, Callable[[], None]] = {
    live: live.Gauges().clear,
    reports: reports.clear_figures,
    estimates: estimates.clear_estimates,
    budgets: partial(budgets.show_budgets, ()),
    family_marking: partial(family_marking.show_families, ()),
    upkeep: partial(upkeep.note_unknown, ()),
}
every_module = pytest.mark.parametrize(
    "module", CLEARED_BY, ids=lambda module: module.__name__.removeprefix("services.")
)


def gauges_of(module: ModuleType) -> dict[str, Gauge]:
    """The gauges that a module names."""
    names = re.findall(
        r"\b(?:detector_)?metrics\.([A-Z][A-Z_0-9]*)", SOURCES[Path(module.__file__ or "")]
    )
    found = {name: METRICS[name] for name in names}
    return {name: gauge for name, gauge in found.items() if isinstance(gauge, Gauge)}


def are_shown(gauge: Gauge) -> bool:
    return any(family.samples for family in gauge.collect())


def set_all(gauges: dict[str, Gauge]) -> None:
    for gauge in gauges.values():
        gauge.labels(*gauge._labelnames).set(1)  # the names serve as values
    assert gauges
    assert all(map(are_shown, gauges.values()))


def shown(gauges: dict[str, Gauge]) -> set[str]:
    return {name for name, gauge in gauges.items() if are_shown(gauge)}


@every_module
def test_a_module_clears_every_gauge_that_it_sets(module: ModuleType) -> None:
    gauges = gauges_of(module)
    set_all(gauges)
    CLEARED_BY[module]()
    assert not shown(gauges)


def test_every_figure_of_reports_is_replaced_so_none_of_a_detector_that_is_gone_stays() -> None:
    gauges = gauges_of(reports)
    set_all(gauges)
    reports.show_reports(())
    reports.show_error_costs({})
    reports.show_version_changes(())
    reports.show_slices({})
    assert not shown(gauges)


def test_every_gauge_of_a_detector_has_a_module_here() -> None:
    found = {name: gauge for name, gauge in METRICS.items() if isinstance(gauge, Gauge)}
    of_detectors = {name for name, gauge in found.items() if "detector" in gauge._labelnames}
    assert of_detectors <= {name for module in CLEARED_BY for name in gauges_of(module)}


@every_module
def test_no_other_module_sets_its_gauges(module: ModuleType) -> None:
    names = re.compile(rf"\b(?:detector_)?metrics\.({'|'.join(gauges_of(module))})\b")
    users = [path for path, source in SOURCES.items() if names.search(source)]
    assert users == [Path(module.__file__ or "")]
