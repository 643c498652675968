"""A host as sockets and URLs want it."""

import socket


def family_of(host: str) -> socket.AddressFamily:
    """The family of sockets that bind to a host name or address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def in_url(host: str) -> str:
    """The host as a URL has it: an IPv6 address within brackets."""
    return f"[{host}]" if ":" in host else host
