"""A real Prometheus on the running stack: it scrapes, evaluates, and answers every dashboard."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.cli.assembly import SERVICES, App, running
from services.contracts.events import REANNOTATION, FrameAnnotated
from services.ingest.tokens import issue
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from tests.deadline import until
from tests.deploy.checking import ROOT, check, read_json, tool
from tests.deploy.survey import ground_truth, publish
from tests.prometheus import Prometheus, prometheus

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
PATIENCE_S = 120.0


def as_asked(expression: str) -> str:
    """A dashboard's query, with what Grafana puts in when nothing is narrowed."""
    for variable in ("environment", "detector", "category", "vehicle"):
        expression = expression.replace(f"${variable}", ".*")
    # For a slow machine too: quantiles of a minute in which nothing happened are no numbers.
    expression = expression.replace("$__rate_interval", "10m").replace("$__range", "10m")
    assert "$" not in expression, expression
    return expression


def queries() -> dict[str, str]:
    """All queries of all dashboards, by where they are."""
    return {
        f"{path.stem} {panel['id']} {panel['title']} {target['refId']}": target["expr"]
        for path in DASHBOARDS
        for panel in read_json(path)["panels"]
        if panel["type"] != "row"
        for target in panel["targets"]
    }


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    settings = Settings(
        data=tmp_path / "data",
        embedder="gazeloop-small",
        http_port=0,
        metrics_port=0,
        reference_share=0.5,
        rate_limit="100000/minute",
        shortlist_evidence=0.0,  # the pictures are noise, and still shall have shortlists
        topic_partitions=2,
    )
    async with running(settings, SERVICES) as app:
        yield app


async def tokens(app: App) -> dict[str, str]:
    issued = {}
    for scope in ("vehicle:v1", "vehicle:v2", "annotation"):
        issued[scope], record = issue(scope, SystemClock().now())
        await app.stores.tokens.add(record)
    return issued


async def correction(app: App) -> FrameAnnotated:
    """What an annotator says of a frame that is shortlisted: nothing is there."""
    shortlists = [each.shortlist async for each in app.stores.needles.scan() if each.shortlist]
    frame_id = next(each.frame_id for one in shortlists for each in one.candidates)
    return FrameAnnotated(
        frame_id=frame_id, revision=2, annotation_source=REANNOTATION, annotations=()
    )


@pytest.mark.timeout(600)
async def test_prometheus_understands_the_running_stack(app: App, tmp_path: Path) -> None:
    target = app.addresses["metrics"].removeprefix("http://").removesuffix("/metrics")
    with prometheus(tmp_path, target) as prom:
        await until(prom.is_ready, deadline_s=30)
        # Between two scrapes: what is counted before the first has no rate.
        await until(lambda: prom.values('up{job="gazeloop"}') == [1.0], deadline_s=30)
        await app.outbox.publish(ground_truth())
        await publish(app.addresses["ingest"].removesuffix("/v1"), await tokens(app))
        await app.caught_up()
        await app.outbox.publish([await correction(app)])
        await app.caught_up()

        groups = prom.ask("rules")["groups"]
        assert sum(len(group["rules"]) for group in groups) == 38
        await every_query_is_answered(prom)

        assert [each["health"] for each in prom.ask("targets")["activeTargets"]] == ["up"]
        rules = [rule for group in prom.ask("rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} == {"ok"}
        assert not firing(prom)
        exposed = tmp_path / "metrics.txt"
        exposed.write_bytes((await asyncio.to_thread(httpx.get, app.addresses["metrics"])).content)
        check("bash", "-c", f"{tool('promtool')} check metrics < {exposed}")


def firing(prom: Prometheus) -> set[str]:
    """Alerts about operations; the survey is too small to say anything about quality."""
    series = prom.ask("query", query='ALERTS{alertstate="firing"}')["result"]
    return {each["metric"]["alertname"] for each in series}


async def every_query_is_answered(prom: Prometheus) -> None:
    asked = {where: as_asked(expression) for where, expression in queries().items()}
    silent = dict(asked)

    def all_answered() -> bool:
        for where in list(silent):
            if prom.values(silent[where]):
                del silent[where]
        return not silent

    try:
        await until(all_answered, deadline_s=PATIENCE_S)
    except (AssertionError, TimeoutError):
        pytest.fail(f"no data after {PATIENCE_S} s: {silent}")
