"""`gazeloop run retriever` and `gazeloop run review`, each a process of its own."""

import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from services.app.assembly import deployed
from services.app.subscriptions import SUBSCRIPTIONS
from services.contracts.flow import group_of
from services.contracts.needles import ShortlistPublished
from services.contracts.topics import REANNOTATION_TOPIC
from services.runtime.clock import SystemClock
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from tests.deadline import until
from tests.faults.survey import Fact, Publisher, facts, reference_frames
from tests.faults.victims import Victim
from tests.ports import free_ports
from tests.reading import events_on

FRAMES, SEED = 40, 20261129
DEADLINE_S = 240.0


@dataclass(frozen=True)
class Deployment:
    """The parts, and what its processes have in common."""

    settings: Settings
    broker: BrokerAddress
    lag: LagReader
    folder: Path

    def process(self, service: str, **changes: object) -> Victim:
        """A process that runs one service."""
        given = self.settings.model_copy(update=changes).model_dump(mode="json")
        names = {*self.settings.model_fields_set, *changes}
        environment = {f"GAZELOOP_{name.upper()}": str(given[name]) for name in names}
        command = ["-m", "services.cli.main", "run", service]
        return Victim(command, self.folder / f"{service}.log", environment)

    def done(self, *services: str) -> bool:
        """Whether these services have no lag."""
        groups = {group_of(service): SUBSCRIPTIONS[group_of(service)] for service in services}
        return self.lag.caught_up(groups)

    def shortlists(self) -> list[ShortlistPublished]:
        """Every shortlist that was published, in order."""
        found = [event for _, event in events_on(self.broker, REANNOTATION_TOPIC.name)]
        return [event for event in found if isinstance(event, ShortlistPublished)]


@pytest.fixture
def deployment(mongodb_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with ExitStack() as parts:
        kafka = parts.enter_context(EmbeddedKafka(tmp_path / "kafka"))
        settings = Settings(
            data=tmp_path / "data",
            kafka=kafka.bootstrap,
            mongodb=mongodb_url,
            mongodb_database=tmp_path.name,
            blobs=(tmp_path / "blobs").as_uri(),
            http_port=0,
            metrics_port=0,
            topic_partitions=1,
            epoch_s=0.05,
            reference_share=0.3,
            split_by="frame",
            rate_limit="100000/minute",
            embedder="gazeloop-small",
            torch_threads=1,
        )
        broker = BrokerAddress.parse(settings.kafka)
        create_topics(broker, settings)
        lag = parts.enter_context(LagReader(broker, settings))
        yield Deployment(settings, broker, lag, tmp_path)


def survey(settings: Settings) -> list[Fact]:
    """Frames of which only those of the reference are annotated."""
    published = facts(FRAMES, SEED)
    reference = reference_frames(published, settings)
    return [
        fact for fact in published if fact.path != "/v1/ground-truth" or fact.frame_id in reference
    ]


@asynccontextmanager
async def miner_after_a_survey(deployment: Deployment) -> AsyncIterator[str]:
    """The survey is embedded, as the vectors' folder has one owner at a time; fp_miner goes on.

    Yields a token for the review page.
    """
    settings = deployment.settings
    async with deployed(settings, "fp_miner"), AsyncExitStack() as closing:
        ingest = await closing.enter_async_context(deployed(settings, "ingest"))
        await closing.enter_async_context(deployed(settings, "embedder"))
        tokens = []
        for scope in ("vehicle:v1", "annotation:Ana"):
            token, record = issue(scope, SystemClock().now())
            await ingest.stores.tokens.add(record)
            tokens.append(token)
        url = ingest.addresses["ingest"].removesuffix("/v1")
        await Publisher(url, *tokens).publish(survey(settings), pause_s=0.0)
        await until(lambda: deployment.done("embedder", "fp_miner"), deadline_s=DEADLINE_S)
        await closing.aclose()
        yield tokens[1]


def is_ready(metrics_port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{metrics_port}/healthz").is_success
    except httpx.TransportError:
        return False


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found is not None, name
    return found[1]


def is_free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


async def the_needle_gets_its_missing_label(
    client: httpx.AsyncClient, shortlist: ShortlistPublished
) -> None:
    """An annotator finds the shortlist on the page, and that the detector was right."""
    address = f"/needles/{shortlist.needle_id}"
    page = (await client.get(address)).text
    assert all(candidate.region_id in page for candidate in shortlist.candidates)
    form = {name: field(page, name) for name in ("csrf", "region", "revision")}
    edit = {"edit": "missing_label", "category": shortlist.needle.category}
    answer = await client.post(f"{address}/corrections", data=form | edit)
    assert answer.status_code == httpx.codes.SEE_OTHER, answer.text


def is_withdrawn(deployment: Deployment, shortlist: ShortlistPublished) -> bool:
    """Whether the retriever has published that the shortlist has no candidates any more."""
    found = [item for item in deployment.shortlists() if item.needle_id == shortlist.needle_id]
    return not found[-1].candidates


@pytest.mark.usefixtures("collected_sockets")
async def test_a_shortlist_is_on_the_page_and_a_verdict_comes_back_to_the_retriever(
    deployment: Deployment,
) -> None:
    port, *metrics = free_ports(3)
    async with miner_after_a_survey(deployment) as token:
        with (
            deployment.process("retriever", http_port=port, metrics_port=metrics[0]) as retriever,
            ExitStack() as reviewing,
        ):
            await until(lambda: is_ready(metrics[0]), deadline_s=DEADLINE_S)
            await until(lambda: bool(deployment.shortlists()), deadline_s=DEADLINE_S)
            assert is_free(port)  # the retriever serves no page

            review = deployment.process("review", http_port=port, metrics_port=metrics[1])
            reviewing.enter_context(review)
            await until(lambda: is_ready(metrics[1]), deadline_s=DEADLINE_S)
            await until(lambda: deployment.done("fp_miner", "retriever"), deadline_s=DEADLINE_S)
            shortlist = next(item for item in deployment.shortlists() if item.candidates)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/review") as client:
                await client.post("/login", data={"token": token})
                await the_needle_gets_its_missing_label(client, shortlist)
            await until(lambda: is_withdrawn(deployment, shortlist), deadline_s=DEADLINE_S)
            assert [process.terminate() for process in (review, retriever)] == [0, 0]
