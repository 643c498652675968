"""One trace from a vehicle's request to the shortlist, through Kafka and the collector."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from services.app.assembly import running
from services.app.parts import App
from services.contracts.events import Split
from services.contracts.flow import SERVICES
from services.contracts.identity import DriveId, FrameId
from services.domain.splits import SplitRule
from services.runtime.clock import SystemClock
from services.runtime.http.tokens import issue
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings
from tests.integration.traces.collector import Collector, Received, collecting
from tests.unit.ingest.datasets import jpeg

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
WRONG = {"category": "stop sign", "bbox": [36.0, 20.0, 20.0, 20.0], "score": 0.9}


def settings_on(folder: Path, collector: Collector) -> Settings:
    return Settings(
        data=folder,
        embedder="gazeloop-small",
        http_port=0,
        metrics_port=0,
        reference_share=0.5,
        topic_partitions=1,
        shortlist_evidence=0.0,  # the pictures are noise, and still shall have shortlists
        traces=collector.url,
        trace_share=1e-9,  # only what a caller traces
    )


def drive_in(split: Split) -> str:
    drives = (DriveId(f"v1:{number}") for number in range(100))
    return next(
        drive for drive in drives if SplitRule(0.5).split_of(FrameId("any"), drive) is split
    )


class Vehicle:
    """Sends frames with what a detector says of them, and their ground truth."""

    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, str]) -> None:
        self._client = client
        self._tokens = tokens

    async def send(self, frame_id: str, drive: str, number: int, **headers: str) -> None:
        metadata = {"frame_id": frame_id, "drive_id": drive, "captured_at": "2026-05-04T10:00:00Z"}
        made = {"frame_id": frame_id, "detector": "ods", "version": "1", "detections": [WRONG]}
        picture = {"image": ("frame.jpg", jpeg(number), "image/jpeg")}
        data = {"metadata": json.dumps(metadata)}
        await self._post("/v1/frames", "vehicle:v1", headers, data=data, files=picture)
        await self._post("/v1/predictions", "vehicle:v1", headers, json=made)

    async def annotate(self, frame_id: str, **headers: str) -> None:
        truth = {"frame_id": frame_id, "annotations": []}
        await self._post("/v1/ground-truth", "annotation", headers, json=truth)

    async def _post(self, path: str, scope: str, headers: dict[str, str], **parts: Any) -> None:
        authorization = {"Authorization": f"Bearer {self._tokens[scope]}"}
        answer = await self._client.post(path, headers=headers | authorization, **parts)
        assert answer.status_code == 202, answer.text


async def survey(app: App) -> None:
    """Haystack first, untraced; then one reference frame whose caller traces it."""
    tokens = {}
    for scope in ("vehicle:v1", "annotation"):
        tokens[scope], record = issue(scope, SystemClock().now())
        await app.stores.tokens.add(record)
    url = app.addresses["ingest"].removesuffix("/v1")
    async with httpx.AsyncClient(base_url=url, timeout=240) as client:
        vehicle = Vehicle(client, tokens)
        for number in range(4):
            await vehicle.send(f"v1:hay-{number}", drive_in(Split.HAYSTACK), number)
        await app.caught_up()
        await vehicle.send("v1:reference", drive_in(Split.REFERENCE), 9, **HEADERS)
        await vehicle.annotate("v1:reference", **HEADERS)
        await app.caught_up()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers, root.level, logging.getLogger("services").level)
    stream = io.StringIO()
    configure_logs(level="DEBUG", stream=stream)
    yield stream
    root.handlers = before[0]
    root.setLevel(before[1])
    logging.getLogger("services").setLevel(before[2])
    structlog.reset_defaults()


def path_to(span: Received, spans: dict[str, Received]) -> list[tuple[str, str]]:
    """Service and name of a span and of all that it follows from, the oldest first."""
    above = spans.get(span.parent_id)
    before = path_to(above, spans) if above is not None else [("caller", span.parent_id)]
    return [*before, (span.service, span.name)]


async def test_one_trace_leads_from_a_request_to_the_retriever(
    tmp_path: Path, logged: io.StringIO
) -> None:
    with collecting() as collector:
        async with running(settings_on(tmp_path / "data", collector), SERVICES) as app:
            await survey(app)
    spans = {span.span_id: span for span in collector.spans}
    assert {span.trace_id for span in spans.values()} == {TRACE}
    # An epoch follows from many events, so the shortlists that it publishes are of no trace.
    ways = [path_to(span, spans) for span in spans.values() if span.service == "retriever"]
    door = [("caller", CALLER), ("ingest", "POST /v1/ground-truth")]
    mined = [
        ("ingest", "send gaze.ground-truth"),
        ("fp-miner", "process gaze.ground-truth"),
        ("fp-miner", "send gaze.needles"),
        ("retriever", "process gaze.needles"),
    ]
    assert [*door, *mined] in ways
    # The embedder follows whichever it took last: the frame, what a detector says of it, or truth.
    embedded = [
        [
            ("ingest", f"send {topic}"),
            ("embedder", f"process {topic}"),
            ("embedder", "send gaze.embedded"),
            ("retriever", "process gaze.embedded"),
        ]
        for topic in ("gaze.frames", "gaze.predictions", "gaze.ground-truth")
    ]
    every = [path_to(span, spans)[2:] for span in spans.values()]
    assert [item for item in embedded if item in every]
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    joined = [line for line in lines if line.get("trace_id") == TRACE]
    assert {line["event"] for line in joined} >= {"record_accepted", "event_done", "batch_embedded"}
    assert all(
        line["frame_id"] == "v1:reference"
        for line in joined
        if line["event"] == "event_done" and line["topic"] != "gaze.reannotation"
    )
