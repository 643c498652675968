"""The rules that wake people: they are valid, they fire when they should, and say what to do."""

import re
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from services.runtime.observability import detector_metrics, metrics
from tests.deploy.checking import ROOT, check, exported_names, read_json, read_yaml, tool

RULES = ROOT / "deploy" / "prometheus" / "rules"
CASES = sorted((ROOT / "tests" / "deploy" / "rules").glob("*.yml"))
FOREIGN = {
    "up",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
}
"""What others export and our rules read."""


def rules(file: str) -> list[dict[str, Any]]:
    return [rule for group in read_yaml(RULES / file)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules("alerts.yml")}


def named_in(expression: str) -> set[str]:
    """Names of series in a PromQL expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', "", expression)
    return set(
        re.findall(r"\b(?:[a-z]+:)?(?:gazeloop|kubelet)_[a-z0-9_:]+|\bup\b|\bALERTS\b", bare)
    )


def test_promtool_accepts_the_configuration_and_all_rules() -> None:
    check(tool("promtool"), "check", "config", "deploy/prometheus/prometheus.yml")


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_every_case_of_an_alert_comes_out_as_it_says(cases: Any) -> None:
    check(tool("promtool"), "test", "rules", str(cases))


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    outcomes: dict[str, set[bool]] = {}
    for path in CASES:
        for case in read_yaml(path)["tests"]:
            for expected in case["alert_rule_test"]:
                fires = bool(expected["exp_alerts"])
                outcomes.setdefault(expected["alertname"], set()).add(fires)
    assert outcomes == {name: {True, False} for name in alerts()}


def test_rules_name_only_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in rules("recording.yml")}
    known = exported_names() | recorded | FOREIGN
    for rule in [*rules("recording.yml"), *alerts().values()]:
        names = named_in(rule["expr"])
        assert names, rule
        assert names <= known, f"{names - known} in {rule}"


def test_every_alert_leads_to_a_section_of_the_runbooks() -> None:
    runbooks = (ROOT / "docs" / "runbooks.md").read_text()
    sections = set(re.findall(r"^## (\w+)$", runbooks, re.MULTILINE))
    assert sections == set(alerts())
    for name, alert in alerts().items():
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"


def test_every_alert_leads_to_a_panel() -> None:
    panels: dict[str, set[int]] = {}
    for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"):
        board = read_json(path)
        panels[board["uid"]] = {panel["id"] for panel in board["panels"]}
    for alert in alerts().values():
        found = re.fullmatch(r"/d/([\w-]+)\?viewPanel=(\d+)", alert["annotations"]["dashboard"])
        assert found, alert
        assert int(found[2]) in panels[found[1]], alert


def test_every_alert_says_how_bad_it_is() -> None:
    assert {alert["labels"]["severity"] for alert in alerts().values()} == {"critical", "warning"}


def test_a_histograms_bucket_that_a_rule_asks_for_exists() -> None:
    text = (RULES / "recording.yml").read_text()
    for name, metric in (
        ("event_age", metrics.EVENT_AGE_SECONDS),
        ("freshness", metrics.FRESHNESS_SECONDS),
    ):
        asked = set(re.findall(rf'{name}_seconds_bucket{{le="([\d.]+)"', text))
        assert asked
        assert asked <= {str(float(bound)) for bound in metric._upper_bounds}


def test_promtool_finds_no_fault_in_what_we_export(tmp_path: Any) -> None:
    for metric in (vars(metrics) | vars(detector_metrics)).values():
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:
            metric.labels(*metric._labelnames)
    exposition = tmp_path / "metrics.txt"
    exposition.write_bytes(generate_latest(REGISTRY))
    check("bash", "-c", f"{tool('promtool')} check metrics < {exposition}")
