"""Connections that send nothing, or too little: closed, on ingest's port and on the metrics'."""

import asyncio
from contextlib import suppress

import httpx
import pytest

from services.runtime.http import health
from services.runtime.http import server as http_server
from services.runtime.http.health import HealthServer
from services.runtime.http.server import serving_http
from tests.unit.ingest.web import Web

DEADLINE_S = 240


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: "]
)
async def test_a_connection_without_a_whole_head_is_closed(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_server, "_HEAD_S", 0.05)
    async with serving_http(Web().app, "127.0.0.1", 0, drain_s=1) as port:
        await _closed(port, sent)


async def test_a_second_head_has_its_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving_http(Web().app, "127.0.0.1", 0, drain_s=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"}")
        monkeypatch.setattr(http_server, "_HEAD_S", 0.05)
        assert await _closing(reader, writer, b"GET /heal") == b""


async def test_a_body_that_trickles_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.http.body_speed._BODY_S", 0.1)
    web = Web()
    token = await web.token("vehicle:v1")
    head = (
        "POST /v1/predictions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n{{"
    )
    async with serving_http(web.app, "127.0.0.1", 0, drain_s=1) as port:
        answer = await _closed(port, head.encode())
    assert b"408" in answer
    assert b"body_too_slow" in answer


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTT"])
async def test_slow_connections_to_the_metrics_port_are_closed(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(health, "_CONNECTION_S", 0.5)
    with HealthServer("127.0.0.1", 0, {}) as server:
        await asyncio.gather(*(_closed(server.port, sent) for _ in range(30)))
        monkeypatch.undo()  # who is served again has the usual time
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{server.port}/livez")).status_code == 200


async def _closed(port: int, sent: bytes) -> bytes:
    return await _closing(*await asyncio.open_connection("127.0.0.1", port), sent)


async def _closing(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes
) -> bytes:
    """What comes until the other side closes the connection; it must within the deadline."""
    received = b""
    try:
        async with asyncio.timeout(DEADLINE_S):
            writer.write(sent)
            with suppress(ConnectionResetError):
                received = await reader.read()
    finally:
        writer.close()
    return received
