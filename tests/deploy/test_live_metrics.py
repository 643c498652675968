"""A real Prometheus on the running stack: it scrapes, evaluates, and answers every dashboard.

And promtool on what each service exports as a process of its own, as compose and Kubernetes run it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from services.app.assembly import running
from services.app.parts import App
from services.contracts.events import REANNOTATION_SOURCE, FrameAnnotated
from services.contracts.flow import SERVICES
from services.runtime.clock import SystemClock
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from tests.deadline import until
from tests.deploy.checking import ROOT, check, read_json, read_yaml, tool
from tests.deploy.survey import ground_truth, publish, publish_needles, reference_frames
from tests.faults.victims import Victim
from tests.ports import free_ports
from tests.prometheus import Prometheus, prometheus

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
PATIENCE_S = 120.0
FIGURES_S = 600.0
"""Reports may take 1% of the time. On a busy machine one takes seconds, and the next, which is the
first to know of the correction, comes minutes later."""
RUN = ("-c", "from services.cli.main import main; main()", "run")
SLOW_MACHINE = {"GazeloopFreshnessBudgetBurningFast", "GazeloopLateBudgetBurningFast"}
"""Alerts that may fire here: how long events take depends on what else the machine does."""
TELLS = {
    "ingest": 'gazeloop_http_requests_total{route="/v1/frames"',
    "review": 'gazeloop_review_needles{status="open"}',
    "webhooks": 'gazeloop_assigned_partitions{service="webhooks.lab"}',
}
"""What nobody else exports; others have partitions under their own name."""


def as_asked(expression: str) -> str:
    """A dashboard's query, with what Grafana puts in when nothing is narrowed."""
    for variable in ("environment", "detector", "category", "vehicle"):
        expression = expression.replace(f"${variable}", ".*")
    # For a slow machine too: quantiles of a minute in which nothing happened are no numbers.
    expression = expression.replace("$__rate_interval", "10m").replace("$__range", "10m")
    assert "$" not in expression, expression
    return expression


def queries() -> dict[str, str]:
    """All queries of all dashboards, by where they are, but that for alerts: none fires here."""
    return {
        f"{path.stem} {panel['id']} {panel['title']} {target['refId']}": target["expr"]
        for path in DASHBOARDS
        for panel in read_json(path)["panels"]
        if panel["type"] != "row"
        for target in panel["targets"]
        if "ALERTS{" not in target["expr"]
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
        epoch_s=0.2,
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
    shortlists = [
        record.shortlist async for record in app.stores.needles.scan() if record.shortlist
    ]
    frame_id = next(candidate.frame_id for one in shortlists for candidate in one.candidates)
    return FrameAnnotated(
        frame_id=frame_id, revision=2, annotation_source=REANNOTATION_SOURCE, annotations=()
    )


async def test_prometheus_understands_the_running_stack(app: App, tmp_path: Path) -> None:
    target = app.addresses["metrics"].removeprefix("http://").removesuffix("/metrics")
    with prometheus(tmp_path, target) as prom:
        await until(prom.is_ready)
        # Between two scrapes: what is counted before the first has no rate.
        await until(lambda: prom.values('up{job="gazeloop"}') == [1.0])
        await app.outbox.publish(ground_truth())
        url, issued = app.addresses["ingest"].removesuffix("/v1"), await tokens(app)
        reference = reference_frames(app.settings.split_rule)
        await publish(url, issued, reference)
        await app.caught_up()
        await publish_needles(url, issued, reference)
        await app.caught_up()
        await app.outbox.publish([await correction(app)])
        await app.caught_up()

        groups = prom.ask("rules")["groups"]
        assert sum(len(group["rules"]) for group in groups) == 54
        await every_query_is_answered(prom)

        await until(lambda: healths(prom) == ["up"])
        rules = [rule for group in prom.ask("rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} == {"ok"}
        assert not firing(prom) - SLOW_MACHINE
        found = await asyncio.to_thread(httpx.get, app.addresses["metrics"])
        promtool_takes(found.content, tmp_path)


def healths(prom: Prometheus) -> list[str]:
    """Of what it scrapes; a scrape that takes over a second has failed."""
    return [item["health"] for item in prom.ask("targets")["activeTargets"]]


def promtool_takes(exported: bytes, folder: Path) -> None:
    """Prometheus's own tool finds nothing wrong with it."""
    file = folder / "metrics.txt"
    file.write_bytes(exported)
    check("bash", "-c", f"{tool('promtool')} check metrics < {file}")


def processes() -> list[str]:
    """What deploy/compose.yaml starts of ours, each by `gazeloop run`."""
    started = [document for document in compose().values() if "profiles" not in document]
    commands = [document.get("command") or [] for document in started]
    return [command[1] for command in commands if command[:1] == ["run"]]


def compose() -> dict[str, dict[str, list[str]]]:
    services: dict[str, dict[str, list[str]]] = read_yaml(ROOT / "deploy" / "compose.yaml")[
        "services"
    ]
    return services


@pytest.fixture(scope="module")
def exported(
    kafka: BrokerAddress, mongodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What each process exports, once it exports what nobody else does; all run at once."""
    folder = tmp_path_factory.mktemp("exported")
    secrets = folder / "webhooks"
    secrets.mkdir()
    (secrets / "lab").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    services = processes()
    free = iter(free_ports(2 * len(services)))
    ports = {service: (next(free), next(free)) for service in services}
    found: dict[str, bytes] = {}

    def all_tell_their_own() -> bool:
        for service in ports.keys() - found.keys():
            metrics = metrics_of(service, *ports[service])
            if (
                TELLS.get(service, f'gazeloop_assigned_partitions{{service="{service}"}}')
                in metrics
            ):
                found[service] = metrics.encode()
        return len(found) == len(ports)

    with ExitStack() as victims:
        for service, (http_port, metrics_port) in ports.items():
            environment = {
                "KAFKA": ",".join(kafka.servers),
                "MONGODB": mongodb_url,
                "MONGODB_DATABASE": f"live-{service}",
                "DATA": str(folder / service),
                "HTTP_PORT": str(http_port),
                "METRICS_PORT": str(metrics_port),
                "EMBEDDER": "gazeloop-small",
                "WEBHOOK_SECRETS": str(secrets),
                "WEBHOOKS": "lab=http://127.0.0.1:1/",
                "LABEL_STUDIO_URL": "http://127.0.0.1:1",
                "LABEL_STUDIO_TOKEN": "nobody-is-there",
            }
            variables = {f"GAZELOOP_{name}": value for name, value in environment.items()}
            log = folder / f"{service}.log"
            victims.enter_context(Victim((*RUN, service), log, variables))
        asyncio.run(until(all_tell_their_own, deadline_s=2 * PATIENCE_S))
    return found


def metrics_of(service: str, http_port: int, metrics_port: int) -> str:
    """What a process exports now; nothing while it starts."""
    try:
        if service == "ingest":  # it counts requests; others take their partitions
            httpx.post(f"http://127.0.0.1:{http_port}/v1/frames")
        return httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
    except httpx.TransportError:
        return ""


@pytest.mark.parametrize("service", processes())
def test_promtool_takes_what_each_process_exports(
    service: str, exported: dict[str, bytes], tmp_path: Path
) -> None:
    promtool_takes(exported[service], tmp_path)


def firing(prom: Prometheus) -> set[str]:
    """Alerts about operations; the survey is too small to say anything about quality."""
    series = prom.ask("query", query='ALERTS{alertstate="firing"}')["result"]
    return {item["metric"]["alertname"] for item in series}


async def every_query_is_answered(prom: Prometheus) -> None:
    asked = {where: as_asked(expression) for where, expression in queries().items()}
    silent = dict(asked)

    def all_answered() -> bool:
        for where in list(silent):
            if prom.values(silent[where]):
                del silent[where]
        return not silent

    try:
        await until(all_answered, deadline_s=FIGURES_S)
    except (AssertionError, TimeoutError):
        pytest.fail(f"no data after {FIGURES_S} s: {silent}")
