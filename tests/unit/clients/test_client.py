"""The vehicles' client, sync and async, on ingest's own application."""

import ast
import asyncio
import subprocess
import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from gazeloop_client import (
    AsyncClient,
    Client,
    NotGazeloop,
    Position,
    Refused,
    Unauthorized,
    Unavailable,
)
from gazeloop_client.protocol import accepted_of, retry_of

from services.contracts.events import FrameAnnotated, FrameCaptured, PredictionsMade
from tests.unit.clients.network import Lost, Network, Stopwatch, predictions
from tests.unit.ingest.datasets import jpeg
from tests.unit.ingest.web import Web

AT = datetime(2026, 5, 4, 10, tzinfo=UTC)


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
def network(web: Web) -> Network:
    return Network(web)


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


def client(network: Network, watch: Stopwatch, scope: str = "vehicle:v1") -> Client:
    token = asyncio.run(network.web.token(scope))
    return Client("http://ingest", token, transport=network, clock=watch)


def test_a_frame_arrives_as_it_was_sent(network: Network, watch: Stopwatch) -> None:
    position: Position = {"lat": 52.5, "lon": 13.4, "heading": 92.0}
    with client(network, watch) as vehicle:
        accepted = vehicle.publish_frame(
            jpeg(),
            {"frame_id": "v1:1", "drive_id": "v1:a", "captured_at": AT, "position": position},
        )
    (event,) = network.web.published
    assert isinstance(event, FrameCaptured)
    assert (accepted.event_id, accepted.revision) == (event.event_id, 1)
    assert (event.captured_at, event.drive_id) == (AT, "v1:a")
    assert event.position is not None
    assert event.position.heading == 92


def test_records_arrive_alone_and_in_batches(network: Network, watch: Stopwatch) -> None:
    with client(network, watch) as vehicle:
        vehicle.publish_predictions(predictions(0))
        result = vehicle.publish_predictions_batch(map(predictions, range(1, 251)))
    with client(network, watch, "annotation:ann") as person:
        person.publish_ground_truth({"frame_id": "v1:0", "annotations": []})
        person.publish_ground_truth_batch([{"frame_id": "v1:1", "annotations": []}])
    made = [event.frame_id for event in network.web.published if isinstance(event, PredictionsMade)]
    assert made == [f"v1:{number}" for number in range(251)]
    assert (result.accepted, result.refused) == (250, ())
    truths = [event for event in network.web.published if isinstance(event, FrameAnnotated)]
    assert [event.frame_id for event in truths] == ["v1:0", "v1:1"]


def test_a_wrong_record_of_a_batch_is_named_by_its_place(
    network: Network, watch: Stopwatch
) -> None:
    records = [predictions(number, 7.0 if number in {3, 120} else 0.5) for number in range(150)]
    with client(network, watch) as vehicle:
        result = vehicle.publish_predictions_batch(records)
    assert result.accepted == 148
    assert [line.place for line in result.refused] == [3, 120]
    assert result.refused[0].reason == "malformed_record"


@pytest.mark.parametrize(
    "faults",
    [
        [Lost(arrives=False), Lost(arrives=False)],
        [Lost(arrives=True), (502, "")],
        [(429, "7"), (503, "3")],
    ],
)
def test_what_is_late_comes_once(
    network: Network, watch: Stopwatch, faults: list[Lost | tuple[int, str]]
) -> None:
    network.faults = deque(faults)
    with client(network, watch) as vehicle:
        accepted = vehicle.publish_predictions(predictions(1))
    assert {event.event_id for event in network.web.published} == {accepted.event_id}
    assert accepted.revision == 1
    assert network.requests == 3
    if faults[0] == (429, "7"):
        assert watch.waits == [7.0, 3.0]


def test_the_time_that_is_allowed_ends(network: Network, watch: Stopwatch) -> None:
    network.faults = deque([(503, "40")] * 9)
    with client(network, watch) as vehicle, pytest.raises(Unavailable, match="503") as caught:
        vehicle.publish_predictions(predictions(1))
    assert caught.value.retry_after_s == 40
    assert watch.now <= 120
    assert network.requests == 4


def test_what_is_wrong_is_not_sent_again(network: Network, watch: Stopwatch) -> None:
    with client(network, watch) as vehicle:
        with pytest.raises(Refused) as caught:
            vehicle.publish_frame(b"no image", {"frame_id": "v1:1", "captured_at": AT})
        with pytest.raises(ValueError, match="time zone"):
            vehicle.publish_frame(jpeg(), {"frame_id": "v1:1", "captured_at": datetime(2026, 1, 1)})  # noqa: DTZ001
        with pytest.raises(ValueError, match="captured_at is missing"):
            vehicle.publish_frame(jpeg(), {"frame_id": "v1:1"})  # type: ignore[typeddict-item]
    assert (caught.value.status, caught.value.reason) == (415, "unsupported_format")
    with (
        Client("http://ingest", "wrong", transport=network, clock=watch) as stranger,
        pytest.raises(Unauthorized),
    ):
        stranger.publish_predictions(predictions(1))
    assert network.requests == 2
    assert not watch.waits


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (200, "<html>a captive portal</html>"),
        (200, '{"title": "a captive portal"}'),
        (200, '"a captive portal"'),
        (302, "moved to a captive portal"),
        (403, "a captive portal"),
        (404, '{"reason": "not_found", "detail": "a captive portal"}'),
        (511, "a captive portal"),
    ],
)
def test_an_answer_of_something_else_says_nothing_of_the_record(
    status: int, text: str, watch: Stopwatch
) -> None:
    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=text)

    with Client("http://cafe", "t", transport=httpx.MockTransport(page), clock=watch) as vehicle:
        expected = Unavailable if status == 511 else NotGazeloop
        with pytest.raises(expected, match="captive portal"):
            vehicle.publish_predictions(predictions(1))
        with pytest.raises(expected, match="captive portal"):
            vehicle.publish_predictions_batch([predictions(1)])


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_proxy_that_refuses_the_record_refuses_it(status: int) -> None:
    with pytest.raises(Refused, match="too large"):
        accepted_of(status, b"<html>too large</html>")


@pytest.mark.parametrize(
    ("header", "after_s"),
    [
        ("7", 7),
        ("9" * 400, 300),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("\u00b2", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_a_pause_that_cannot_be_read_is_the_clients_own(header: str, after_s: float | None) -> None:
    retry = retry_of(503, {"retry-after": header}, b"")
    assert retry is not None
    assert retry.after_s == after_s


async def test_the_async_client_does_the_same(web: Web) -> None:
    transport = httpx.ASGITransport(web.app, raise_app_exceptions=False)
    token = await web.token("vehicle:v1")
    async with AsyncClient("http://ingest", token, transport=transport) as vehicle:
        accepted = await vehicle.publish_frame(jpeg(), {"frame_id": "v1:1", "captured_at": AT})
        result = await vehicle.publish_predictions_batch(map(predictions, range(150)))
        with pytest.raises(Refused):
            await vehicle.publish_predictions(predictions(1, 7.0))
    assert web.published[0].event_id == accepted.event_id
    assert (result.accepted, len(web.published)) == (150, 151)


def test_the_client_needs_nothing_else_of_the_project() -> None:
    code = "import gazeloop_client, sys; print(sorted(m for m in sys.modules if '.' not in m))"
    folder = Path(__file__).parents[3] / "clients" / "python"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert "httpx" in done.stdout
    assert not {"services", "pydantic", "numpy", "kafka"} & set(ast.literal_eval(done.stdout))
