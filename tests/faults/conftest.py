import asyncio
import os
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.topic_admin import broker_identity
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores, open_stores

# These take an hour: `make faults` runs them, and `make test` their quick forms.
_WHOLE = ["test_matrix.py", "test_up_is_killed.py"]
collect_ignore = [] if os.environ.get("GAZELOOP_TEST_FAULTS") else _WHOLE


class Deployed(Protocol):
    """Services on a broker and a metadata store."""

    settings: Settings

    @property
    def broker(self) -> BrokerAddress: ...


@pytest.fixture
async def stores(deployment: Deployed) -> AsyncIterator[Stores]:
    """The stores of a module's `deployment`."""
    identity = await asyncio.to_thread(broker_identity, deployment.broker, deployment.settings)
    async with open_stores(deployment.settings, identity) as stores:
        yield stores
