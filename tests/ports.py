"""Ports for processes that tests start."""

from services.runtime.embedded.ports import free_port


def free_ports(count: int) -> list[int]:
    """So many different ports of the loopback address on which nobody listens."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)
