"""Real parts that tests share, started once and only when a test asks for them."""

import gc
import importlib
import os
import threading
import time
import warnings
from collections.abc import Iterator

# Before NumPy: OpenBLAS's threads busy-wait for one another, and three workers share two cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import fsspec
import httpx
import hypothesis
import pytest
import structlog
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from xdist.remote import Producer

with warnings.catch_warnings():
    # kafka-python reads its schemas by a function that Python 3.11 and 3.12 deprecate.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka as _kafka_python  # noqa: F401  # for what importing it does

from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.embedded.memory_broker import MemoryBroker
from services.runtime.embedded.mongod import Mongod
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.settings import Settings
from tests.threads import is_of_kafka
from tests.workers import ModulesToWorkers

_PLAIN = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
_PROCESSORS = [*structlog.get_config()["processors"][:-1], _PLAIN]


# A service in this process that misses its deadline ends the process, all of its tests with it: on
# a loaded machine, kernels that no run has compiled before take longer to compile than the default.
os.environ["GAZELOOP_DRAIN_DEADLINE_S"] = "300"


# By default, an example that takes longer than 0.2 s fails, as it may on any loaded machine, and so
# do some that take long to draw.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# By default, httpx gives up after 5 s, in which a loaded machine may not answer.
vars(DEFAULT_TIMEOUT_CONFIG).update(vars(httpx.Timeout(120)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ModulesToWorkers:
    return ModulesToWorkers(config, log)


def pytest_report_header() -> str:
    server = os.environ.get("GAZELOOP_TEST_QDRANT", "no server (GAZELOOP_TEST_QDRANT)")
    return f"Qdrant: Edge, local mode, {server}"


def pytest_runtest_setup() -> None:
    # Left to itself, structlog draws every variable of every frame of a traceback, for seconds.
    if not structlog.is_configured():
        structlog.configure(processors=_PROCESSORS)


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Mongod(tmp_path_factory.mktemp("mongod")) as mongod:
        yield mongod.url


_left_open: list[str] = []


@pytest.fixture
def collected_sockets(request: pytest.FixtureRequest) -> None:
    """kafka-python leaves it to the collector to close sockets to a broker that is away."""
    _left_open.append(request.node.nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    # Only now are the test's log records gone, which hold on to the connections they are about.
    if nodeid in _left_open:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture(scope="module", autouse=True)
def no_kafka_thread_left() -> Iterator[None]:
    """A client that a module left open would go on looking for its broker.

    It draws its pauses from `random`, which Hypothesis refuses in the tests that come after.
    """
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 240
    while left := [
        item for item in threading.enumerate() if is_of_kafka(item) and item not in before
    ]:
        assert time.monotonic() < end, f"kafka-python's threads were left running: {left}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAddress]:
    """Apache Kafka with Gazeloop's topics; tests keep out of each other's way by their ids."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        address = BrokerAddress.parse(kafka.bootstrap)
        create_topics(address, Settings())
        yield address


@pytest.fixture(scope="session")
def memory_broker() -> Iterator[BrokerAddress]:
    """librdkafka's in-memory broker with Gazeloop's topics."""
    with MemoryBroker() as broker:
        create_topics(broker.address, Settings())
        yield broker.address


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """A bucket's URL on moto's server, where boto's own variables lead everybody."""
    try:
        server = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0)
        importlib.import_module("s3fs")
    except ModuleNotFoundError as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{exc.name} is not installed: make test installs it")
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "tester")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("gazeloop")
        yield "s3://gazeloop"
    server.stop()


@pytest.fixture(params=["kafka", "memory_broker"])
def broker(request: pytest.FixtureRequest) -> BrokerAddress:
    """Each of the brokers in turn."""
    address: BrokerAddress = request.getfixturevalue(request.param)
    return address
