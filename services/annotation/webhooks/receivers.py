"""The webhook receivers that the settings name."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from services.annotation.webhooks.signing import secret_of
from services.contracts.errors import InvalidSettings
from services.runtime.setting_groups.integrations import without_paths
from services.runtime.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Receiver:
    """One receiver; its secret's file, consumer group and metrics use its name.

    Attributes
    ----------
    secrets : keys that sign deliveries; two while one is being replaced
    """

    name: str
    url: str
    secrets: tuple[bytes, ...] = field(repr=False)

    @property
    def service(self) -> str:
        """The name of the consuming service that delivers to this receiver."""
        return service_of(self.name)


def service_of(name: str) -> str:
    """The consuming service of the receiver with this name."""
    return f"webhooks.{name}"


def names_of(settings: Settings) -> list[str]:
    """The receivers' names.

    Raises
    ------
    InvalidSettings
        The setting is unreadable.
    """
    return list(_addresses(settings))


def receivers_of(settings: Settings) -> list[Receiver]:
    """The receivers with their secrets.

    Raises
    ------
    InvalidSettings
        A URL is not allowed, a secret is missing, or the timeout is too long.
    """
    addresses = _addresses(settings)
    if addresses and settings.webhook_give_up_s > settings.stall_limit_s / 2:
        # A delivery attempt must not look like a stalled service.
        raise InvalidSettings(
            "GAZELOOP_WEBHOOK_GIVE_UP_S is more than half of GAZELOOP_STALL_LIMIT_S"
        )
    folder = settings.webhook_secrets or settings.data / "webhooks"
    return [Receiver(name, url, _secrets(folder / name)) for name, url in addresses.items()]


def _addresses(settings: Settings) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for part in filter(None, map(str.strip, settings.webhooks.split(","))):
        name, equals, url = part.partition("=")
        if not equals or not _NAME.fullmatch(name) or name in addresses:
            raise InvalidSettings(
                f"GAZELOOP_WEBHOOKS: {without_paths(part)!r:.80} is not NAME=URL, each NAME once"
                " and in a-z0-9-"
            )
        _check(name, url)
        addresses[name] = url
    return addresses


def _check(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise InvalidSettings(f"GAZELOOP_WEBHOOKS: {name}: {exc}") from exc
    if not host or parts.username is not None or parts.fragment:
        raise InvalidSettings(
            f"GAZELOOP_WEBHOOKS: {name}: not an address of a receiver (no user, no fragment)"
        )
    if not _may_be_sent_to(parts, host):
        raise InvalidSettings(
            f"GAZELOOP_WEBHOOKS: {name}: https:// is required; http:// only for this machine itself"
        )


def _may_be_sent_to(parts: SplitResult, host: str) -> bool:
    if parts.scheme != "http":
        return parts.scheme == "https"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secrets(file: Path) -> tuple[bytes, ...]:
    try:
        lines: Sequence[str] = file.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidSettings(
            f"{file} holds no secret: write whsec_ and the output of `openssl rand -base64 32`"
        ) from exc
    if not lines:
        raise InvalidSettings(f"{file} is empty; a secret belongs there")
    return tuple(secret_of(line) for line in lines)
