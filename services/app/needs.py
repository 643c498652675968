"""Readiness of a process that serves HTTP: the broker, MongoDB, and its own port."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

import httpx

from services.app.pages.server import BUILDERS
from services.contracts.errors import StoreUnavailable
from services.contracts.topics import GROUND_TRUTH
from services.runtime.clock import Clock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import BrokerProbe
from services.runtime.readiness import Need, Readiness
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores

_PATIENCE_S = 5.0
_NOBODY = "readiness"
"""A token id that is never issued."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # a target, not a bind address


class ServedPages:
    """The pages that a process serves on its HTTP port.

    Parameters
    ----------
    services : the process's services; most have no page
    """

    def __init__(self, services: Sequence[str]) -> None:
        self.names = tuple(name for name in BUILDERS if name in services)
        self._urls: dict[str, str] = {}

    def serve(self, addresses: Mapping[str, str]) -> None:
        """Set the addresses that are now served."""
        self._urls = {name: asked_at(addresses[name]) for name in self.names}

    def needs(self) -> dict[str, Need]:
        """One need per page: that it answers."""
        return {name: partial(self._answers, name) for name in self.names}

    async def _answers(self, name: str) -> None:
        url = self._urls.get(name)
        if url is None:
            raise StoreUnavailable("not served yet")
        # The certificate is for the clients' host name, but this request uses the address.
        client = httpx.AsyncClient(timeout=_PATIENCE_S, verify=False, trust_env=False)  # noqa: S501
        try:
            async with client:
                answer = await client.get(url)
        except httpx.HTTPError as exc:
            raise StoreUnavailable(f"{url} does not answer: {type(exc).__name__}") from exc
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StoreUnavailable(f"{url} answers {answer.status_code}")


def asked_at(url: str) -> str:
    """The URL at which this process reaches its own page, even if it binds to all addresses."""
    for everywhere, here in _EVERYWHERE.items():
        url = url.replace(f"://{everywhere}:", f"://{here}:")
    return url


@asynccontextmanager
async def readiness_of(
    served: ServedPages, stores: Stores, settings: Settings, clock: Clock
) -> AsyncIterator[Readiness]:
    """Check the needs periodically while the context is open."""
    quick = settings.model_copy(update={"delivery_timeout_s": _PATIENCE_S})
    probe = BrokerProbe(BrokerAddress.of(settings), quick)

    async def broker() -> None:
        await asyncio.to_thread(probe.ask, GROUND_TRUTH.name)

    async def mongodb() -> None:
        await stores.tokens.find(_NOBODY)

    readiness = Readiness({"kafka": broker, "mongodb": mongodb, **served.needs()}, clock)
    try:
        async with readiness.checked_repeatedly():
            yield readiness
    finally:
        await asyncio.to_thread(probe.close)
