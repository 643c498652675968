"""After an erasure no document in MongoDB names the frame, and the neighbour's are as they were."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from services.contracts.identity import FrameId, ModelId, RegionId
from services.domain.erasure import erased_name
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.region_maps import MappedRegion, RegionMap
from services.runtime.stores.budget_reports_mongo import MongoBudgetReports
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.mongo import Database, connect
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.region_maps_mongo import MongoRegionMaps
from tests import samples
from tests.integration.erasure.world import World
from tests.laws.test_metadata_stores import budget_report

GONE, KEPT = FrameId("v1/drive-1/gone.7"), FrameId("v1/drive-1/gone.77")
"""The one id begins the other, and both have characters that patterns and paths treat specially."""
REQUEST = ErasureRequest("ada", "request 17", samples.CAPTURED_AT)


@pytest.fixture
async def database(mongodb_url: str) -> AsyncIterator[Database]:
    database = connect(mongodb_url, f"erasure-{uuid4().hex[:8]}")
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


def _naming(documents: dict[str, bytes], frame_id: FrameId) -> list[str]:
    """The documents that name this frame, and not only the one whose id it begins."""
    return [
        place
        for place, content in documents.items()
        if frame_id.encode() in content.replace(KEPT.encode(), b"")
    ]


def mapped(frame_id: FrameId) -> MappedRegion:
    place = (RegionId("r"), frame_id, samples.DETECTOR, samples.STOP_SIGN)
    return MappedRegion(0.0, 0.0, *place, 0.5, samples.BOX, "haystack", "v1")


async def test_no_document_names_an_erased_frame(database: Database, tmp_path: Path) -> None:
    world = World(database, str(tmp_path))
    held_back = budget_report("d@1").frames[0]
    both = [replace(held_back, frame_id=frame_id) for frame_id in (GONE, KEPT)]
    await MongoBudgetReports(database).show([replace(budget_report("d@1"), frames=both)])
    captured = await world.fill(GONE, KEPT, b"a picture")
    kept = await world.fill(KEPT, GONE, b"another picture")
    await MongoRegionMaps(database).put(RegionMap(ModelId("m"), [mapped(GONE), mapped(KEPT)]))
    assert len(_naming(await world.documents(), GONE)) > 15

    counts = (await world.eraser.erase([GONE], REQUEST)).counts

    assert _naming(await world.documents(), GONE) == []
    assert min(counts.values()) > 0, counts
    assert not (tmp_path / captured.image.uri.removeprefix("blob:")).exists()
    assert world.blobs.get(kept.image.uri) == b"another picture"
    frames = await MongoFrameStore(database).load([KEPT])
    assert frames[KEPT].captured == kept
    assert frames[KEPT].predictions
    (record,) = await MongoNeedleStore(database).naming([KEPT])
    assert record.shortlist is not None
    assert [item.frame_id for item in record.shortlist.candidates] == [KEPT]


async def test_an_erasure_twice_is_an_erasure_once(database: Database, tmp_path: Path) -> None:
    world = World(database, str(tmp_path))
    await world.fill(GONE, KEPT, b"a picture")
    await world.eraser.erase([GONE], REQUEST)
    before = await world.documents()
    assert set((await world.eraser.erase([GONE], REQUEST)).counts.values()) == {0}
    assert await world.documents() == before


async def test_an_image_that_another_frame_shows_stays(database: Database, tmp_path: Path) -> None:
    world = World(database, str(tmp_path))
    captured = await world.fill(GONE, KEPT, b"the same picture")
    await world.fill(KEPT, GONE, b"the same picture")

    await world.eraser.erase([GONE], REQUEST)

    assert world.blobs.get(captured.image.uri) == b"the same picture"
    record = (await MongoFrameStore(database).load([KEPT]))[KEPT]
    # It stays a copy: what was counted before does not change its number.
    assert record.original == erased_name(GONE)
    assert _naming(await world.documents(), GONE) == []
    await world.eraser.erase([KEPT], REQUEST)
    assert not (tmp_path / captured.image.uri.removeprefix("blob:")).exists()
    assert await database["pictures"].count_documents({}) == 0
