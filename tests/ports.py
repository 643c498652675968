"""Ports for processes that tests start."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """So many different ports of the loopback address on which nobody listens."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [item.getsockname()[1] for item in sockets]
