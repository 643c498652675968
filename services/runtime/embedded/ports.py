"""Loopback ports for programs that are started next."""

import random
import socket
from pathlib import Path

from services.contracts.errors import MissingPart

_PORTS = range(15_000, 32_000)
"""Below those that Linux (from 32,768 on) and macOS (from 49,152 on) give to connections and to
processes that ask for any port, which may be taken before the program binds it."""
_TRIES = 50
_RANDOM = random.SystemRandom()
"""Not seeded, so that processes that start together try different ports."""


def steady_port(folder: Path, name: str) -> int:
    """A free port, preferably the one that this folder used before.

    Clients that outlive a restart can then reconnect.

    Raises
    ------
    MissingPart
        No port is free.
    """
    remembered = folder / f"{name}.port"
    text = remembered.read_text() if remembered.exists() else ""
    # It is empty if the power failed while it was written.
    port = int(text) if text.isdecimal() and _is_free(int(text)) else free_port()
    remembered.write_text(str(port))
    return port


def free_port() -> int:
    """A port on which no process listens.

    Raises
    ------
    MissingPart
        No port is free.
    """
    for port in _RANDOM.sample(_PORTS, _TRIES):
        if _is_free(port):
            return port
    raise MissingPart("no loopback port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
