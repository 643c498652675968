"""The dashboards: they are what the code says, ask for what exists, and explain themselves."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.checking import ROOT, check, exported_names, module, read_json, read_yaml, tool
from tests.deploy.test_prometheus import named_in, rules

FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_json(path)["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def expressions(path: Path) -> list[str]:
    return [target["expr"] for panel in panels(path) for target in panel["targets"]]


def test_there_are_four_dashboards() -> None:
    assert [path.stem.removeprefix("gazeloop-") for path in FILES] == [
        "annotation",
        "detector",
        "overview",
        "pipeline",
    ]


def test_the_committed_dashboards_are_what_the_code_generates() -> None:
    module("grafana_foundation_sdk")
    generate = module("deploy.grafana.generate")
    for board in module("deploy.grafana.boards").BOARDS:
        committed = (FOLDER / f"{board.uid}.json").read_text()
        assert committed == generate.rendered(board), "run: python -m deploy.grafana.generate"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_asks_only_for_series_that_exist(path: Path) -> None:
    recorded = {rule["record"] for rule in rules("recording.yml")}
    for expression in expressions(path):
        names = named_in(expression)
        assert names, expression
        assert names <= exported_names() | recorded | {"up", "ALERTS"}, expression


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_panel_explains_itself_and_has_a_unit(path: Path) -> None:
    for panel in panels(path):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_average_precision_has_three_decimals_as_on_the_page_and_in_reports(path: Path) -> None:
    for panel in panels(path):
        queries = " ".join(target["expr"] for target in panel["targets"])
        if re.search(r"gazeloop_(\w+_)?map(_\w+)?\b|gazeloop_error_cost", queries):
            defaults = panel["fieldConfig"]["defaults"]
            assert (defaults["unit"], defaults.get("decimals")) == ("none", 3), panel["title"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_series_of_a_panel_has_a_name_of_its_own(path: Path) -> None:
    for panel in panels(path):
        names = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(names)) == len(names), panel["title"]
        for target in panel["targets"]:
            # 0 where a counter has no series: it carries the label that the legend shows.
            if "vector(0)" in target["expr"] and target["legendFormat"].startswith("{{"):
                assert "label_replace(vector(0)" in target["expr"], panel["title"]


def test_families_categories_vehicles_and_versions_lead_to_the_review_page() -> None:
    links = {
        link["url"]
        for path in FILES
        for panel in panels(path)
        for link in panel["fieldConfig"]["defaults"].get("links", [])
    }
    assert links == {
        "${review}/needles?stage=any&family=${__data.fields.family}",
        "${review}/needles?category=${__field.labels.category:percentencode}",
        "${review}/frames?id=${__field.labels.vehicle:percentencode}",
        "${review}/versions",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_new_detector_versions_and_models_are_marked_on_the_charts(path: Path) -> None:
    marks = {mark["name"]: mark for mark in read_json(path)["annotations"]["list"]}

    assert marks.keys() == {"Detector version", "Embedding model"}
    for mark in marks.values():
        assert named_in(mark["expr"]) <= exported_names(), mark["name"]
        assert "unless" in mark["expr"]
        assert mark["expr"].count('environment=~"$environment"') == 2
    assert marks["Detector version"]["textFormat"] == "{{detector}}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_panel_has_a_number_of_its_own(path: Path) -> None:
    numbers = [panel["id"] for panel in panels(path)]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_variable_is_used_and_every_one_used_is_declared(path: Path) -> None:
    board = read_json(path)
    declared = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps([board["panels"], board["links"], board["templating"]])
    used = set(re.findall(r"\$\{?([a-z]+)\b", text)) - {"__rate_interval", "__range"}
    assert declared == used


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_can_be_narrowed_to_an_environment(path: Path) -> None:
    for expression in expressions(path):
        selectors = re.findall(r"\{([^}]*)\}", expression)
        assert selectors
        assert all('environment=~"$environment"' in selector for selector in selectors), expression


def test_what_is_provisioned_is_where_compose_puts_it() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (provider,) = read_yaml(provisioning / "dashboards" / "gazeloop.yml")["providers"]
    (source,) = read_yaml(provisioning / "datasources" / "prometheus.yml")["datasources"]
    compose = read_yaml(ROOT / "deploy" / "compose.yaml")["services"]
    mounted = {volume.split(":")[1] for volume in compose["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted
    assert "/etc/grafana/provisioning" in mounted
    assert source["url"] == "http://prometheus:9090"


def test_needles_that_a_new_series_begins_with_count(tmp_path: Path) -> None:
    needles = 'gazeloop_needles_found_total{environment="test",category="sign",error_type="%s"}'
    counted = [
        expression
        for expression in expressions(FOLDER / "gazeloop-overview.json")
        if "gazeloop_needles_found_total" in expression
    ]
    case = {
        "interval": "1m",
        "input_series": [
            {"series": needles % "background", "values": "_x15 40x30"},
            {"series": needles % "duplicate", "values": "7x60"},
        ],
        "promql_expr_test": [
            {
                "expr": counted[0].replace("$environment", ".*").replace("$__range", "20m"),
                "eval_time": "30m",
                "exp_samples": [
                    {"labels": '{error_type="background"}', "value": 40},
                    {"labels": '{error_type="duplicate"}', "value": 0},
                ],
            }
        ],
    }
    cases = tmp_path / "cases.yml"
    cases.write_text(json.dumps({"evaluation_interval": "1m", "tests": [case]}))
    check(tool("promtool"), "test", "rules", str(cases))
