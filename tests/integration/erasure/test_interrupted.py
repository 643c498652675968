"""An erasure that was interrupted, and that nobody repeats."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from services.app import upkeep
from services.app.doctor.mongodb import look_at_mongodb
from services.app.erasure.erasers import CONFIRMING
from services.app.parts import App, joined
from services.contracts.identity import FrameId
from services.domain.ports.erasure import ErasureRequest
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings_reading import load_settings
from tests import samples

GONE = FrameId("gone")


@pytest.fixture
async def app(mongodb_url: str, memory_broker: BrokerAddress, tmp_path: Path) -> AsyncIterator[App]:
    settings = load_settings(
        data=tmp_path,
        mongodb=mongodb_url,
        mongodb_database=f"interrupted-{uuid4().hex[:8]}",
        kafka=str(memory_broker),
    )
    async with joined(settings) as app:
        yield app
        await app.stores.database.client.drop_database(app.stores.database.name)


async def test_the_doctor_names_it_and_ingest_finishes_it(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_ERASURES_S", 0.01)
    stores, clock = app.stores, SystemClock()
    captured = samples.frame_captured(GONE)
    image = captured.image.model_copy(update={"uri": stores.blobs.put(b"of the frame")})
    await stores.frames.record([captured.model_copy(update={"image": image})])
    # Of a command that found no services.
    request = ErasureRequest("ada", "request 17", clock.now() - timedelta(hours=1))
    await stores.tombstones.add([GONE], request)
    assert len(await interrupted(app)) == 1

    async with upkeep.stored_data_kept(app, clock), asyncio.timeout(60):
        while await stores.tombstones.unswept(1):  # noqa: ASYNC110  # the store has no events
            await asyncio.sleep(0.05)

    assert await stores.frames.load([GONE]) == {}
    assert list(stores.blobs.uris()) == []
    assert await stores.tombstones.awaited() == dict.fromkeys(CONFIRMING, 1)
    assert await interrupted(app) == []


async def interrupted(app: App) -> list[str]:
    """What the doctor says of interrupted erasures."""
    found = await look_at_mongodb(app.settings, SystemClock())
    return [item.what for item in found if "erasure was interrupted" in item.what]
