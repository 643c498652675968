"""What a hostile client may send: it is refused with a reason, and nothing else happens."""

import json
import struct
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from services.contracts.events import PredictionsMade
from tests.unit.ingest.datasets import Json, jpeg
from tests.unit.ingest.web import BOX, GROUND_TRUTH, METADATA, PREDICTIONS, Web

LIMIT = 200_000


@pytest.fixture
def web() -> Web:
    return Web(max_body_bytes=LIMIT)


def png_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


async def refused(web: Web, response: httpx.Response) -> tuple[int, str]:
    """The refusal; the service goes on answering and has published nothing."""
    body = response.json()
    assert body.keys() == {"reason", "detail"}
    assert len(response.content) < 5_000
    assert web.published == []
    assert (await web.client.get("/healthz")).status_code == 200
    return response.status_code, body["reason"]


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1)])
async def test_a_bomb_is_not_unpacked(web: Web, size: tuple[int, int]) -> None:
    response = await web.post_frame(image=png_bomb(*size))

    assert await refused(web, response) == (413, "too_many_pixels")


@pytest.mark.parametrize(
    "image",
    [
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 100,
        b"\xff\xd8\xff\xe0\x00\x00",
        b"\xff\xd8\xff\xda" + b"\x00" * 50,
        b"\xff\xd8" * 1000,
        jpeg()[:200] + b"\xff" * 500,
        b"%PDF-1.4",
        b"<svg onload='x'/>",
        b"PK\x03\x04" + bytes(100),
        png_bomb(10, 10)[:60],
        png_bomb(0, 10),
    ],
)
async def test_what_is_no_picture_is_refused(web: Web, image: bytes) -> None:
    status, _ = await refused(web, await web.post_frame(image=image))

    assert status in {415, 422}


@pytest.mark.parametrize(
    "change",
    [
        {"frame_id": ""},
        {"frame_id": "a b"},
        {"frame_id": "x" * 201},
        {"frame_id": "a\u0000b"},
        {"frame_id": ["a"]},
        {"frame_id": {"$gt": ""}},
        {"captured_at": "now"},
        {"captured_at": 10**400},
        {"captured_at": "2026-05-04T10:00:00"},
        {"captured_at": "99999-01-01T00:00:00Z"},
        {"position": {"lat": 1e308, "lon": 0}},
        {"position": {"lat": float("nan"), "lon": 0}},
        {"position": {"lat": "52", "lon": 0}},
        {"position": [52, 13]},
        {"vehicle_id": "../v1"},
        {"drive_id": "\ud800"},
        {"extra": 1},
    ],
)
async def test_hostile_metadata_is_refused(web: Web, change: Json) -> None:
    status, _ = await refused(web, await web.post_frame(METADATA | change))

    assert status in {400, 403, 422}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"frame_id": "\\ud800"}',
        b"1" * 50_000,
        json.dumps(PREDICTIONS).encode("utf-16"),
    ],
)
async def test_hostile_json_is_refused(web: Web, body: bytes) -> None:
    status, _ = await refused(web, await web.post("/v1/predictions", body))

    assert status in {400, 422}


@pytest.mark.parametrize(
    "change",
    [
        {"bbox": [0, 0, 0, 0]},
        {"bbox": [0, 0, -1, 5]},
        {"bbox": [0, 0, 1e308, 1e308]},
        {"bbox": [float("nan"), 0, 1, 1]},
        {"bbox": [float("inf"), 0, 1, 1]},
        {"bbox": [10**400, 0, 1, 1]},
        {"bbox": [0, 0, 1]},
        {"bbox": "0,0,1,1"},
        {"score": float("nan")},
        {"score": -0.0001},
        {"score": 1.0001},
        {"score": "0.5"},
        {"score": True},
        {"category": ""},
        {"category": "a\nb"},
        {"category": "x" * 101},
        {"category": None},
        {"mask": {"size": [5, 5], "counts": "oooooo"}},
        {"mask": {"size": [2**40, 2**40], "counts": ""}},
        {"mask": {"size": [5, 5], "counts": "\x00"}},
        {"mask": {"size": [-5, 5], "counts": "0"}},
        {"more": 1},
    ],
)
async def test_hostile_detections_are_refused(web: Web, change: Json) -> None:
    detection = BOX | {"score": 0.5} | change

    response = await web.post("/v1/predictions", PREDICTIONS | {"detections": [detection]})

    assert (await refused(web, response))[0] in {400, 422}


async def test_a_declared_body_beyond_the_limit_is_not_read(web: Web) -> None:
    response = await web.post_frame(image=bytes(LIMIT + 1))

    assert await refused(web, response) == (413, "body_too_large")


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson"])
async def test_a_body_that_never_ends_is_ended(web: Web, media_type: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * LIMIT:
            sent += 10_000
            yield b" " * 10_000

    headers = await web.headers() | {"Content-Type": media_type}
    response = await web.client.post("/v1/predictions", content=endless(), headers=headers)

    assert await refused(web, response) == (413, "body_too_large")


async def test_an_endless_multipart_body_is_ended(web: Web) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(1000):
            yield bytes(10_000)

    headers = await web.headers() | {"Content-Type": "multipart/form-data; boundary=x"}
    response = await web.client.post("/v1/frames", content=endless(), headers=headers)

    assert await refused(web, response) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"nothing"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--"),
        ("multipart/form-data; boundary=" + "x" * 1000, b""),
        ("text/plain", b"x"),
        ("", b"x"),
    ],
)
async def test_a_multipart_body_that_is_none_is_refused(
    web: Web, content_type: str, body: bytes
) -> None:
    headers = await web.headers() | {"Content-Type": content_type}
    response = await web.client.post("/v1/frames", content=body, headers=headers)

    assert (await refused(web, response))[0] in {400, 415}


async def test_many_parts_are_refused(web: Web) -> None:
    parts = [("image", (f"{number}.jpg", b"x", "image/jpeg")) for number in range(50)]

    response = await web.client.post("/v1/frames", files=parts, headers=await web.headers())

    assert (await refused(web, response))[0] == 400


async def test_a_file_name_is_never_a_path(web: Web) -> None:
    files = {"image": ("../../etc/passwd", jpeg(), "text/html")}
    data = {"metadata": json.dumps(METADATA)}

    response = await web.client.post(
        "/v1/frames", files=files, data=data, headers=await web.headers()
    )

    assert response.status_code == 202
    assert all(len(place) == 67 for place in web.blobs.contents)


@pytest.mark.parametrize("compressed", ["gzip", "br", "deflate"])
async def test_a_compressed_body_is_not_unpacked(web: Web, compressed: str) -> None:
    headers = await web.headers() | {
        "Content-Type": "application/json",
        "Content-Encoding": compressed,
    }
    body = zlib.compress(json.dumps(PREDICTIONS).encode())

    response = await web.client.post("/v1/predictions", content=body, headers=headers)

    assert (await refused(web, response))[0] == 400


@pytest.mark.parametrize(
    "token", ["gz-" + "0" * 16 + "." + "A" * 43, "x" * 100_000, "gz-.", "Bearer Bearer", "é"]
)
async def test_an_invented_token_opens_nothing(web: Web, token: str) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode())]
    response = await web.client.post("/v1/predictions", json=PREDICTIONS, headers=headers)

    assert await refused(web, response) == (401, "unauthorized")


async def test_tens_of_thousands_of_bad_lines_are_counted_and_the_first_hundred_listed() -> None:
    web = Web(max_body_bytes=10_000_000, rate_limit="1000/minute")

    response = await web.post(
        "/v1/ground-truth", b"{\n" * 40_000, "annotation:ana", "application/x-ndjson"
    )

    assert response.status_code == 207
    assert response.json()["refused"] == 40_000
    assert response.json()["reasons"] == {"invalid_json": 40_000}
    assert len(response.json()["results"]) == 100
    assert len(response.content) < 50_000


async def test_more_lines_than_a_request_may_have_are_refused_unread(web: Web) -> None:
    response = await web.post(
        "/v1/ground-truth", b"{\n" * 60_000, "annotation:ana", "application/x-ndjson"
    )

    assert await refused(web, response) == (413, "too_many_lines")


async def test_lines_count_toward_the_rate_limit() -> None:
    web = Web(rate_limit="10/minute")
    headers = await web.headers("annotation:ana") | {"Content-Type": "application/x-ndjson"}

    statuses = [
        (
            await web.client.post("/v1/ground-truth", content=b"{\n" * 500, headers=headers)
        ).status_code
        for _ in range(3)
    ]

    assert statuses == [207, 429, 429]


async def test_records_of_too_many_values_are_refused_before_they_are_parsed() -> None:
    web = Web(max_body_bytes=10_000_000, max_detections_per_frame=10)

    response = await web.post("/v1/predictions", b'{"detections": [' + b"0," * 1_000 + b"0]}")

    assert await refused(web, response) == (413, "too_many_values")


async def test_detections_beyond_the_limit_are_left_out_and_told() -> None:
    web = Web(max_detections_per_frame=2)
    scores = [0.1, 0.9, 0.2, 0.8]
    many = PREDICTIONS | {"detections": [BOX | {"score": score} for score in scores]}

    response = await web.post("/v1/predictions", many)
    lines = await web.post(
        "/v1/predictions",
        json.dumps(many | {"version": "2"}).encode(),
        media_type="application/x-ndjson",
    )

    assert response.status_code == 202
    assert response.json()["detections_left_out"] == 2
    assert lines.json()["results"][0]["detections_left_out"] == 2
    first, _ = web.published
    assert isinstance(first, PredictionsMade)
    assert [detection.score for detection in first.detections] == [0.9, 0.8]


async def test_names_with_operators_are_names(web: Web) -> None:
    record = GROUND_TRUTH | {"frame_id": "$where", "annotated_by": "{$gt: 1}"}

    assert (await web.post("/v1/ground-truth", record, "annotation:{$gt: 1}")).status_code == 202
