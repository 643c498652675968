"""Requests made from our own OpenAPI document, and bent: ingest refuses them, and never fails.

`make fuzz` sends thousands, with another seed each time; `make test` sends a few, always the same.
"""

import asyncio
import itertools
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import Case, GenerationMode, SerializationContext

from services.app.assembly import deployed
from services.runtime.clock import SystemClock
from services.runtime.http.tokens import issue
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings

METADATA = {"frame_id": "v1:1", "captured_at": "2026-05-04T10:00:00Z"}
REQUESTS = int(os.environ.get("GAZELOOP_FUZZ_REQUESTS", "250"))
FRAMES, PREDICTIONS, TRUTHS = "/v1/frames", "/v1/predictions", "/v1/ground-truth"
JSON, NDJSON, MULTIPART = "application/json", "application/x-ndjson", "multipart/form-data"
FORM = "application/x-www-form-urlencoded"
pytestmark = [
    # Schemathesis draws from `random` where it bends requests; Hypothesis seeds that.
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning"),
    pytest.mark.timeout(1800),
]
KINDS = [
    (FRAMES, MULTIPART),
    (PREDICTIONS, JSON),
    (PREDICTIONS, NDJSON),
    (TRUTHS, JSON),
    (TRUTHS, NDJSON),
]
_CLOSED = (requests.ConnectionError, requests.exceptions.InvalidHeader)
"""The server ends some connections early, and the client refuses to send some headers."""


@dataclass
class Api:
    """Ingest as it is deployed, on a real broker and a real MongoDB."""

    url: str
    tokens: dict[str, str]
    schema: Any
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    sent: int = 0

    def send(self, path: str, **request: Any) -> None:
        """Send it; whatever is answered, it is no failure of ours."""
        self.sent += 1
        request["headers"] = {
            name: value.encode() if isinstance(value, str) else value
            for name, value in request.get("headers", {}).items()
        }
        try:
            answer = requests.post(f"{self.url}{path}", timeout=240, **request)
        except _CLOSED as exc:
            note(repr(exc))
            return
        note(f"{answer.status_code} {answer.text[:500]}")
        self.statuses[path, answer.status_code] += 1
        assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, answer.text
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            assert answer.json()["reason"]


@schemathesis.serializer(NDJSON)
def _lines(_: SerializationContext, value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def api(
    kafka: BrokerAddress, mongodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("fuzz")
    settings = Settings(
        data=folder,
        blobs=(folder / "blobs").as_uri(),
        kafka=str(kafka),
        mongodb=mongodb_url,
        mongodb_database=f"fuzz-{uuid4().hex[:8]}",
        http_port=0,
        metrics_port=0,
        rate_limit="1000000/minute",
    )
    started, stop, ready = list[Api](), asyncio.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with deployed(settings, "ingest") as app:
            tokens = {}
            for scope in ("vehicle:v1", "annotation:Ana"):
                token, record = issue(scope, SystemClock().now())
                await app.stores.tokens.add(record)
                tokens[scope.partition(":")[0]] = token
            url = app.addresses["ingest"].removesuffix("/v1")
            started.append(Api(url, tokens, None))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(300)
        started[0].schema = schemathesis.openapi.from_url(f"{started[0].url}/openapi.json")
        yield started[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(300)
    assert not thread.is_alive()


def fuzzed(share: float) -> settings:
    """So many of all requests, none again: Schemathesis' bent ones cannot be made twice."""
    in_fuzz = "GAZELOOP_FUZZ_REQUESTS" in os.environ
    return settings(
        max_examples=max(1, round(REQUESTS * share)),
        derandomize=not in_fuzz,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def pictures() -> st.SearchStrategy[bytes]:
    """Whole pictures, pictures cut or changed somewhere, and bytes that are none."""
    whole = [_picture(kind, size) for kind in ("JPEG", "PNG") for size in ((64, 48), (1, 1))]
    return st.one_of(
        st.sampled_from(whole),
        st.sampled_from(whole),
        st.builds(_cut, st.sampled_from(whole), st.floats(0, 1), st.binary(max_size=8)),
        st.binary(max_size=64),
    )


def _picture(kind: str, size: tuple[int, int]) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, (90, 120, 30)).save(out, kind)
    return out.getvalue()


def _cut(content: bytes, at: float, instead: bytes) -> bytes:
    place = round(at * len(content))
    return content[:place] + instead + content[place + len(instead) :]


def cases(api: Api, path: str, media_type: str) -> st.SearchStrategy[Case[Any]]:
    """Requests as the document describes them, and as it does not."""
    operation = api.schema[path]["POST"]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    return st.one_of(
        *(operation.as_strategy(generation_mode=mode, media_type=media_type) for mode in modes)
    )


def token_for(api: Api, path: str) -> st.SearchStrategy[str]:
    own = api.tokens["annotation" if path == TRUTHS else "vehicle"]
    return st.sampled_from([own] * 8 + [*api.tokens.values(), "", "gz-0.0"])


def _name_as_its_own(body: Any) -> None:
    """Put the ids into the vehicle's namespace, outside of which all is refused early."""
    named = body.get("metadata", body) if isinstance(body, dict) else None
    if not isinstance(named, dict):
        return
    named.pop("vehicle_id", None)
    for name in ("frame_id", "drive_id"):
        if isinstance(named.get(name), str):
            named[name] = f"v1:{named[name]}"


@pytest.mark.parametrize(("path", "media_type"), KINDS)
def test_requests_of_our_own_document_never_fail(api: Api, path: str, media_type: str) -> None:
    @fuzzed(0.8 / len(KINDS))
    @given(cases(api, path, media_type), token_for(api, path), pictures(), st.data())
    def one(case: Case[Any], token: str, picture: bytes, data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            _name_as_its_own(case.body)
        request = case.as_transport_kwargs(base_url=api.url)
        headers = dict(request.get("headers") or {})
        headers = {name: value for name, value in headers.items() if isinstance(value, str)}
        headers["Authorization"] = f"Bearer {token}"
        body = {name: request[name] for name in ("data", "files", "json") if request.get(name)}
        if media_type == MULTIPART and data.draw(st.sampled_from([True, True, False])):
            headers.pop("Content-Type", None)
            made = case.body.get("metadata") if isinstance(case.body, dict) else None
            text = json.dumps(data.draw(st.sampled_from([made, METADATA, METADATA])))
            body = {"files": {"image": ("f.jpg", picture), "metadata": (None, text)}}
        api.send(path, headers=headers, **body)

    one()


def test_bodies_of_another_kind_than_they_say_never_fail(api: Api) -> None:
    kinds = st.sampled_from([JSON, NDJSON, MULTIPART, FORM, "text/plain", "", "a/b; boundary=\x7f"])
    boundary = "multipart/form-data; boundary=x"

    @fuzzed(0.2)
    @given(
        st.sampled_from([FRAMES, PREDICTIONS, TRUTHS]),
        kinds | st.just(boundary),
        st.one_of(st.binary(max_size=300), _texts().map(lambda text: text.encode(*_REPLACED))),
        st.data(),
    )
    def one(path: str, kind: str, content: bytes, data: st.DataObject) -> None:
        headers = {"Authorization": f"Bearer {data.draw(token_for(api, path))}"}
        api.send(path, headers=headers | {"Content-Type": kind}, data=content)

    one()


_REPLACED = ("utf-8", "surrogatepass")


def _texts() -> st.SearchStrategy[str]:
    """JSON, lines of JSON, forms and parts of multipart bodies, of any content."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys(), inner, max_size=4),
        max_leaves=12,
    )
    documents = values.map(json.dumps)
    lines = st.lists(documents | st.text(max_size=20), max_size=5).map("\n".join)
    forms = st.dictionaries(_keys(), st.text(max_size=8)).map(
        lambda fields: "&".join(itertools.starmap("{}={}".format, fields.items()))
    )
    head = 'Content-Disposition: form-data; name="{}"; filename="{}"\r\n\r\n{}\r\n'
    parts = st.lists(st.tuples(_keys(), st.text(max_size=8), st.text(max_size=20)), max_size=4).map(
        lambda all_parts: (
            "--x\r\n" + "--x\r\n".join(head.format(*one) for one in all_parts) + "--x--"
        )
    )
    return documents | lines | forms | parts


def _keys() -> st.SearchStrategy[str]:
    known = ["frame_id", "image", "metadata", "detections", "annotations", "bbox", "category"]
    return st.sampled_from(known) | st.text(max_size=6)


def test_as_many_requests_were_sent_as_were_asked_for(api: Api) -> None:
    counted = dict(sorted(api.statuses.items()))
    assert api.sent >= REQUESTS * 0.9, counted
    by_path = {path for path, status in counted if status in {202, 207}}
    assert by_path == {FRAMES, PREDICTIONS, TRUTHS}, counted  # else nothing was reached
    print(f"\n{api.sent} requests: {counted}")  # noqa: T201  # what `make fuzz` shows
