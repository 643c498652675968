"""Ports of embedded programs."""

import socket
from pathlib import Path

from services.runtime.embedded.ports import free_port, steady_port

FIRST_GIVEN = 32_768
"""From here on, Linux gives ports to connections."""


def test_a_folder_keeps_its_port(tmp_path: Path) -> None:
    assert steady_port(tmp_path, "kafka") == steady_port(tmp_path, "kafka")


def test_a_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    before = steady_port(tmp_path, "kafka")
    with socket.create_server(("127.0.0.1", before)):
        after = steady_port(tmp_path, "kafka")
    assert after != before
    assert steady_port(tmp_path, "kafka") == after


def test_a_port_that_no_power_was_left_to_write_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "kafka.port").touch()
    assert steady_port(tmp_path, "kafka") == steady_port(tmp_path, "kafka")


def test_a_free_port_is_none_that_connections_get() -> None:
    assert all(free_port() < FIRST_GIVEN for _ in range(20))
