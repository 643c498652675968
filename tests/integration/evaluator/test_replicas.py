"""Two evaluators, each with whole categories, and one question to a Prometheus on both."""

import http.client
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.contracts.identity import Category, DetectorId
from services.contracts.matches import CategoryMatched
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import twelve
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.operating_point import joint_operating_point
from services.domain.metrics.subsets import Subset
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.settings import Settings
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import connect
from services.runtime.stores.store_version import require_version
from tests.deadline import until
from tests.faults.victims import Victim
from tests.ports import free_ports
from tests.prometheus import Prometheus, prometheus
from tests.samples import published
from tests.unit.domain import oracle

COMMAND = ("-c", "from services.cli.main import main; main()", "run", "evaluator")


def matches_of(detector: DetectorId) -> list[CategoryMatched]:
    """Many categories, so that both replicas have some."""
    return [
        replace(match, detector=detector, category=Category(f"{match.category}-{k}"))
        for k in range(8)
        for frame in oracle.random_frames(k, 15)
        for match in oracle.matched(frame)
    ]


class Replicas:
    """Two processes of the evaluator, and what they say."""

    def __init__(self, ports: list[int], detector: DetectorId, asked: Prometheus) -> None:
        self._ports = ports
        self._detector = detector
        self._asked = asked

    def category_aps(self, subset: Subset) -> list[dict[str, float]]:
        """`gazeloop_category_ap` of each replica."""
        return [self._scrape(port, subset) for port in self._ports]

    def average(self, subset: Subset) -> list[float]:
        """The mAP that Prometheus answers; nothing before it has scraped any."""
        if not self._asked.is_ready():
            return []
        chosen = f'detector="{self._detector}",subset="{subset.value}"'
        return self._asked.values(f"avg by (detector, subset) (gazeloop_category_ap{{{chosen}}})")

    def recorded(self, rule: str) -> list[float]:
        """A figure of both replicas on all frames, as a rule records it."""
        chosen = f'detector="{self._detector}",subset="all"'
        return self._asked.values(f"{rule}{{{chosen}}}")

    def _scrape(self, port: int, subset: Subset) -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=120) as answer:
                text = answer.read().decode()
        except (OSError, http.client.HTTPException):  # not started yet
            return {}
        wanted = {"detector": self._detector, "subset": subset.value}
        return {
            sample.labels["category"]: sample.value
            for family in text_string_to_metric_families(text)
            if family.name == "gazeloop_category_ap"
            for sample in family.samples
            if wanted.items() <= sample.labels.items()
        }


@pytest.fixture
def database() -> str:
    return f"replicas-{uuid4().hex[:8]}"


@pytest.fixture
def replicas(
    kafka: BrokerAddress, mongodb_url: str, database: str, tmp_path: Path
) -> Iterator[Replicas]:
    ports = free_ports(2)
    environment = {
        "GAZELOOP_KAFKA": ",".join(kafka.servers),
        "GAZELOOP_MONGODB": mongodb_url,
        "GAZELOOP_MONGODB_DATABASE": database,
        "GAZELOOP_DATA": str(tmp_path),
    }
    with ExitStack() as running:
        for port in ports:
            variables = {**environment, "GAZELOOP_METRICS_PORT": str(port)}
            running.enter_context(Victim(COMMAND, tmp_path / f"{port}.log", variables))
        asked = prometheus(tmp_path, *(f"127.0.0.1:{port}" for port in ports))
        yield Replicas(ports, DetectorId(f"{database}@1"), running.enter_context(asked))


async def test_the_average_of_both_replicas_gauges_is_the_map(
    replicas: Replicas, kafka: BrokerAddress, mongodb_url: str, database: str
) -> None:
    detector = DetectorId(f"{database}@1")
    matches = matches_of(detector)
    state = MatchState(OperatingScores(0.5))
    state.add(matches)
    defined = state.of(detector, Subset.ALL)
    numbers = twelve(defined.values())
    expected = numbers["AP"]
    operating = joint_operating_point([figures.operating for figures in defined.values()], 0.5)
    connection = connect(mongodb_url, database)
    await require_version(connection)  # as a process does before it writes
    await MongoMatchStore(connection).record(published(matches))
    await connection.client.close()
    outbox = KafkaOutbox("replicas", kafka, Settings())
    await outbox.publish(published(matches))
    await outbox.close()

    def settled() -> bool:
        one, two = replicas.category_aps(Subset.ALL)
        known = {c for c, figures in defined.items() if figures.average_precision is not None}
        apart = bool(one) and bool(two) and not one.keys() & two.keys()
        whole = one.keys() | two.keys() == known
        return apart and whole and answered(Subset.ALL)

    def answered(subset: Subset) -> bool:
        return replicas.average(subset) == [pytest.approx(expected, abs=1e-9)]

    await until(settled, deadline_s=240)
    await until(lambda: answered(Subset.REST))

    def is_recorded(rule: str, value: float | None) -> bool:
        return replicas.recorded(rule) == [pytest.approx(value, abs=1e-9)]

    for rule, value in (
        ("subset:gazeloop_map_ap50:avg", numbers["AP50"]),
        ("subset:gazeloop_map_ap75:avg", numbers["AP75"]),
        ("subset:gazeloop_operating_precision:ratio", operating.precision),
        ("subset:gazeloop_operating_recall:ratio", operating.recall),
        ("subset:gazeloop_operating_f1:ratio", operating.f1),
        ("subset:gazeloop_operating_mean_iou:avg", operating.mean_iou),
    ):
        await until(partial(is_recorded, rule, value))
