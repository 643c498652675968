"""Every secret is used, rightly and wrongly, and all that is said meanwhile is looked through."""

import io
import json
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from typer.testing import CliRunner

from services.app.assembly import deployed
from services.app.doctor.examining import examine
from services.app.parts import App
from services.cli.main import app as command_line
from services.contracts.errors import GazeloopError
from services.runtime.clock import SystemClock
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from services.runtime.stores.vectors_open import open_vector_store
from tests import samples
from tests.deadline import until
from tests.integration.security.certificates import Authority, Certificate
from tests.integration.security.parts import PASSWORD, tls_server
from tests.integration.security.qdrant import KEY, Qdrant
from tests.integration.traces.collector import Collector, collecting
from tests.reading import values_on
from tests.unit.ingest.datasets import jpeg

WRONG = "swordfish-and-chips"
LOGIN = "the-collectors-own-login"
Given = Callable[..., Settings]


class Everything:
    """All that is said, by where, and what must not be in it."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.secrets: dict[str, str] = {
            "password": PASSWORD,
            "wrong password": WRONG,
            "Qdrant's key": KEY,
            "the collector's login": LOGIN,
        }

    def add(self, where: str, text: str) -> None:
        self.texts[where] = self.texts.get(where, "") + text

    def leaks(self) -> set[tuple[str, str]]:
        """Which secret is where."""
        return {
            (name, where)
            for name, secret in self.secrets.items()
            for where, text in self.texts.items()
            if secret in text
        }


@pytest.fixture
def everything() -> Iterator[Everything]:
    """What is said, the logs among it: as JSON, and as a terminal would show them."""
    root, package = logging.getLogger(), logging.getLogger("services")
    before = (root.handlers, root.level, package.level)
    logged, shown = io.StringIO(), _Terminal()
    configure_logs(level="DEBUG", stream=shown)
    terminal = root.handlers
    configure_logs(level="DEBUG", stream=logged)
    root.handlers = [*root.handlers, *terminal]
    everything = Everything()
    yield everything
    root.handlers, level = before[0], before[1]
    root.setLevel(level)
    package.setLevel(before[2])
    structlog.reset_defaults()
    everything.add("logs", logged.getvalue())
    everything.add("logs on a terminal", shown.getvalue())
    for event in ("record_accepted", "event_dead_lettered", "boom"):
        assert event in everything.texts["logs"]
        assert event in everything.texts["logs on a terminal"]
    assert everything.leaks() == set()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={LOGIN}")
    with collecting() as collector:
        yield collector


@dataclass(frozen=True)
class Secured:
    """Parts that let in only whom they know."""

    kafka: dict[str, str]
    mongodb: str
    qdrant: str
    sound: Certificate
    expired: Certificate


@pytest.fixture
def secured(
    kafka: dict[str, str], mongodb: str, sound: Certificate, expired: Certificate
) -> Iterator[Secured]:
    with tls_server(Qdrant, sound) as port:
        yield Secured(kafka, mongodb, f"https://localhost:{port}", sound, expired)


@pytest.fixture
def given(secured: Secured, authority: Authority, collector: Collector, tmp_path: Path) -> Given:
    """Settings with every secret in them; changes make one of them wrong."""

    def settings(**changes: Any) -> Settings:
        rightly: dict[str, Any] = {
            "data": tmp_path / "data",
            "kafka": secured.kafka["CLIENTS"],
            "kafka_tls": True,
            "kafka_ca": authority.file,
            "kafka_user": "gazeloop-ingest",
            "kafka_password": PASSWORD,
            "mongodb": secured.mongodb,
            "mongodb_tls": True,
            "mongodb_ca": authority.file,
            "mongodb_user": "gazeloop-evaluator",
            "mongodb_password": PASSWORD,
            "qdrant": secured.qdrant,
            "qdrant_api_key": KEY,
            "qdrant_ca": authority.file,
            "tls_certificate": secured.sound.chain,
            "tls_key": secured.sound.key,
            "http_port": 0,
            "metrics_port": 0,
            "delivery_timeout_s": 60,
            "traces": collector.url,
            "trace_share": 1.0,
        }
        return Settings(**(rightly | changes))

    return settings


@asynccontextmanager
async def visiting(
    settings: Settings, service: str, everything: Everything
) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    """A service with every secret, and a client of it; its metrics are read in the end."""
    async with deployed(settings, service) as app:
        (url,) = {
            address.rsplit("/", 1)[0]
            for name, address in app.addresses.items()
            if name in {"ingest", "review"}
        } or {""}
        trusting = ssl.create_default_context(cafile=settings.qdrant_ca)
        async with httpx.AsyncClient(base_url=url, verify=trusting, timeout=240) as client:
            yield app, client
        async with httpx.AsyncClient(timeout=30) as scraper:
            everything.add("metrics", (await scraper.get(app.addresses["metrics"])).text)


async def token_of(app: App, scope: str, everything: Everything) -> str:
    token, record = issue(scope, SystemClock().now())
    await app.stores.tokens.add(record)
    everything.secrets[f"token of {scope}"] = token.partition(".")[2]
    return token


async def vehicles_come(settings: Settings, everything: Everything) -> None:
    """With a right token and a wrong one, with good and bad requests."""
    async with visiting(settings, "ingest", everything) as (app, client):
        token = await token_of(app, "vehicle:v1", everything)
        everything.secrets["a wrong token"] = wrong = "A" * 43
        metadata = {"frame_id": "v1:secret", "captured_at": "2026-05-04T10:00:00Z"}
        for presented, picture, status in (
            (token, jpeg(), 202),
            (f"{token[:20]}{wrong}", jpeg(), 401),
            (token, b"no picture", 415),
            (token, jpeg()[:200], 422),
        ):
            answer = await client.post(
                "/v1/frames",
                headers={"Authorization": f"Bearer {presented}"},
                data={"metadata": json.dumps(metadata)},
                files={"image": ("a.jpg", picture, "image/jpeg")},
            )
            assert answer.status_code == status
            everything.add("answers", f"{answer.headers}\n{answer.text}\n")


async def annotators_come(settings: Settings, everything: Everything) -> None:
    """With a right token and a wrong one; the right one goes on with a cookie."""
    async with visiting(settings, "review", everything) as (app, client):
        token = await token_of(app, "annotation", everything)
        wrong = "gz-0123456789abcdef." + "B" * 43
        everything.secrets["a wrong login"] = "B" * 43
        for presented, status in ((wrong, 422), (token, 303)):
            form = {"token": presented}
            answer = await client.post("/review/login", data=form)
            assert answer.status_code == status, answer.text
            everything.add("answers", answer.text)
        everything.secrets["cookie"] = client.cookies["gazeloop_review"]
        for path in ("/review/", "/review/needles", "/review/nowhere", "/review/dead-letters"):
            everything.add("answers", (await client.get(path)).text)
        forged = await client.post("/review/needles/n/undo", data={"csrf": "0" * 64})
        assert forged.status_code == 403
        everything.add("answers", forged.text)


async def a_bad_event_comes(
    settings: Settings, owner: BrokerAddress, everything: Everything
) -> None:
    """The evaluator buries it; the letter is read as it lies on the topic, beside other tests'."""

    def letters() -> bytes:
        return b"\n".join(values_on(owner, "gaze.dead-letters"))

    outbox = KafkaOutbox("owner", owner, Settings(delivery_timeout_s=60))
    await outbox.publish_records([OutgoingRecord("gaze.matches", b"bad", b"{", "bad")])
    await outbox.close()
    async with visiting(settings, "evaluator", everything):
        await until(lambda: b"unreadable_event" in letters())
    everything.add("dead letters", letters().decode())


async def publishes(settings: Settings) -> None:
    outbox = KafkaOutbox("ingest", BrokerAddress.of(settings), settings)
    try:
        await outbox.publish([samples.frame_captured("secret")])
    finally:
        await outbox.close()


async def deployed_ingest(settings: Settings) -> None:
    async with deployed(settings, "ingest"):
        pass


async def searches(settings: Settings) -> None:
    store = open_vector_store(settings)
    try:
        await store.aliases()
    finally:
        await store.close()


Work = Callable[[Settings], Coroutine[Any, Any, None]]


async def all_goes_wrong(given: Given, secured: Secured, everything: Everything) -> None:
    """Each secret is wrong once, and each certificate."""
    failures: list[tuple[Work, dict[str, Any]]] = [
        (publishes, {"kafka_password": WRONG}),
        (publishes, {"kafka": secured.kafka["EXPIRED"]}),
        (publishes, {"kafka_user": "gazeloop-evaluator"}),
        (publishes, {"kafka": "localhost:1", "delivery_timeout_s": 1}),
        (deployed_ingest, {"mongodb_password": WRONG}),
        (searches, {"qdrant_api_key": WRONG}),
        (searches, {"qdrant": "https://localhost:1"}),
        (deployed_ingest, {"tls_key": secured.expired.key}),
    ]
    for work, changes in failures:
        with pytest.raises((GazeloopError, ExceptionGroup)) as failed:
            await work(given(**changes))
        everything.add("errors", "".join(traceback.format_exception(failed.value)))
        structlog.get_logger("services.test").error("boom", exc_info=failed.value)
    for changes in ({}, {"kafka_password": WRONG}, {"mongodb_password": WRONG}):
        found = await examine(given(**changes), SystemClock(), model=False)
        everything.add("doctor", str(found))


def settings_are_shown(given: Given, monkeypatch: pytest.MonkeyPatch) -> str:
    """By the command, and by what they are refused with."""
    for name in ("kafka_password", "mongodb_password", "qdrant_api_key"):
        monkeypatch.setenv(f"GAZELOOP_{name.upper()}", getattr(given(), name).get_secret_value())
    shown = CliRunner().invoke(command_line, ["settings"])
    assert "***" in shown.output
    output = shown.output + repr(given()) + str(given().model_dump())
    for name, url in (
        ("mongodb", f"mongodb://root:{PASSWORD}@localhost/"),
        ("qdrant", f"https://root:{PASSWORD}@localhost/"),
        ("traces", f"https://root:{PASSWORD}@localhost/"),
    ):
        with pytest.raises(GazeloopError) as refused:
            load_settings(**{name: url})
        assert f"GAZELOOP_{name.upper()}" in str(refused.value)
        output += "".join(traceback.format_exception(refused.value))
    return output


async def test_no_secret_is_said_anywhere(
    given: Given,
    secured: Secured,
    collector: Collector,
    everything: Everything,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for certificate in (secured.sound, secured.expired):
        for number, line in enumerate(certificate.key.read_text().splitlines()[1:-1]):
            everything.secrets[f"line {number} of {certificate.key.name}"] = line
    await vehicles_come(given(), everything)
    await annotators_come(given(kafka_user="gazeloop-review"), everything)
    owner = BrokerAddress.parse(secured.kafka["OWNER"])
    await a_bad_event_comes(given(kafka_user="gazeloop-evaluator"), owner, everything)
    await all_goes_wrong(given, secured, everything)
    everything.add("settings", settings_are_shown(given, monkeypatch))
    everything.add("spans", str(collector.spans))
    assert {span.service for span in collector.spans} >= {"ingest", "review"}
    assert everything.secrets.keys() >= {"cookie", "token of vehicle:v1", "a wrong token"}
