"""One module sets and clears a gauge: a process that lost its job shows no figures any more."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client import Gauge

from services.evaluator.live import gauges as live
from services.evaluator.reports import gauges as reports
from services.retriever import estimate_gauges as estimates
from services.runtime.observability import metrics

SERVICES = Path(metrics.__file__).parents[2]
SOURCES = {path: path.read_text() for path in SERVICES.rglob("*.py")}
CLEARED_BY = {
    live: live.Gauges().clear,
    reports: reports.clear_figures,
    estimates: estimates.clear_estimates,
}
every_module = pytest.mark.parametrize(
    "module", CLEARED_BY, ids=lambda module: module.__name__.removeprefix("services.")
)


def gauges_of(module: ModuleType) -> dict[str, Gauge]:
    """The gauges that a module names."""
    names = re.findall(r"\bmetrics\.([A-Z][A-Z_0-9]*)", SOURCES[Path(module.__file__ or "")])
    found = {name: getattr(metrics, name) for name in names}
    return {name: gauge for name, gauge in found.items() if isinstance(gauge, Gauge)}


def are_shown(gauge: Gauge) -> bool:
    return any(family.samples for family in gauge.collect())


@every_module
def test_a_module_clears_every_gauge_that_it_sets(module: ModuleType) -> None:
    gauges = gauges_of(module)
    for gauge in gauges.values():
        gauge.labels(*gauge._labelnames).set(1)  # the names serve as values
    assert len(gauges) >= 3
    assert all(map(are_shown, gauges.values()))

    CLEARED_BY[module]()

    assert not [name for name, gauge in gauges.items() if are_shown(gauge)]


@every_module
def test_no_other_module_sets_its_gauges(module: ModuleType) -> None:
    names = re.compile(rf"\bmetrics\.({'|'.join(gauges_of(module))})\b")
    users = [path for path, source in SOURCES.items() if names.search(source)]
    assert users == [Path(module.__file__ or "")]
