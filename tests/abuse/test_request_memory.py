"""What a hostile request costs a server's process at its peak."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.ingest.datasets import jpeg

SERVER = """
import asyncio
from services.runtime.http.server import serving_http
from tests.unit.ingest.web import Web

async def main():
    web = Web()
    print(await web.token("vehicle:v1"), flush=True)
    print(await web.token("annotation:ana"), flush=True)
    async with serving_http(web.app, "127.0.0.1", 0, drain_s=1) as port:
        print(port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
ALLOWED_BYTES = 64 << 20


class Served:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._pid = process.pid
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(3)]
        self.vehicle, self.person, port = lines
        self.url = f"http://127.0.0.1:{port}"

    def added_bytes(self, path: str, token: str, body: bytes, media_type: str) -> tuple[int, int]:
        """The answer's status, and the peak above what the process had before."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": media_type}
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")  # the peak begins anew
        before = self._peak()
        answer = httpx.post(f"{self.url}{path}", content=body, headers=headers, timeout=500)
        return answer.status_code, self._peak() - before

    def _peak(self) -> int:
        status = Path(f"/proc/{self._pid}/status").read_text()
        (line,) = (row for row in status.splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            served = Served(process)
            path = "/v1/predictions"  # what the first request loads counts as idle
            served.added_bytes(path, served.vehicle, b"{}", "application/json")
            served.added_bytes("/v1/frames", served.vehicle, *multipart(jpeg()))
            yield served
        finally:
            process.kill()


def multipart(image: bytes) -> tuple[bytes, str]:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    rest = b'\r\n--b\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'
    metadata = b'{"frame_id": "v1:1", "captured_at": "2026-05-04T10:00:00Z"}'
    return head + image + rest + metadata + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    "body",
    [b"{\n" * 300_000, b"{\n" * 49_000, b"x" * 33_000_000, b"[" * 33_000_000],
    ids=["many_lines", "bad_lines", "one_long_line", "brackets"],
)
def test_lines_take_little_memory(server: Served, body: bytes) -> None:
    status, added = server.added_bytes(
        "/v1/ground-truth", server.person, body, "application/x-ndjson"
    )
    assert status in {207, 413}
    assert added <= ALLOWED_BYTES


@pytest.mark.parametrize(
    "image",
    [b"\xff\xd8" + b"\xff\xd0" * 12_000_000, b"\xff\xd8" + b"\xff" * 24_000_000],
    ids=["restart_markers", "padding"],
)
def test_pictures_of_nothing_but_markers_take_little_memory(server: Served, image: bytes) -> None:
    status, added = server.added_bytes("/v1/frames", server.vehicle, *multipart(image))
    assert status in {413, 422}
    assert added <= ALLOWED_BYTES
