"""Which frames an erasure is asked for, and what is said of those that nobody knows."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from services.app.erasure.choosing import Chosen, FrameChoice
from services.contracts.errors import InvalidRecord
from services.contracts.identity import DriveId, FrameId, VehicleId
from services.domain.ports.erasure import ErasureRequest
from services.runtime.stores.frame_ids_mongo import MongoFrameIds
from tests.fakes.tombstones import InMemoryTombstones

KNOWN = FrameId("v1/1")


class FrameIds:
    """One frame of a drive of a vehicle."""

    async def of_drive(self, drive_id: DriveId) -> list[FrameId]:
        return [KNOWN] if drive_id == "v1:d1" else []

    async def of_vehicle(self, vehicle_id: VehicleId) -> list[FrameId]:
        return [KNOWN] if vehicle_id == "v1" else []

    async def known(self, frame_ids: Collection[FrameId]) -> set[FrameId]:
        return {KNOWN} & set(frame_ids)


FRAME_IDS = cast("MongoFrameIds", FrameIds())


async def noted(*services: str, swept: bool = True) -> InMemoryTombstones:
    """The erasure of another frame."""
    tombstones = InMemoryTombstones()
    request = ErasureRequest("ada", "", datetime(2026, 5, 4, tzinfo=UTC), services)
    await tombstones.add([FrameId("gone")], request)
    if swept:
        await tombstones.note_swept([FrameId("gone")])
    return tombstones


@pytest.mark.parametrize(
    ("given", "named"), [({"drive": "v1:d2"}, "drive 'v1:d2'"), ({"vehicle": "v2"}, "vehicle 'v2'")]
)
async def test_a_drive_or_vehicle_that_nobody_knows_is_refused(
    given: Mapping[str, Any], named: str
) -> None:
    with pytest.raises(InvalidRecord, match=f"no frame of {named} is known") as caught:
        await FrameChoice([KNOWN], **given).among(FRAME_IDS, await noted())
    assert caught.value.reason == "nothing_known"


@pytest.mark.parametrize(("services", "swept"), [((), False), (("embedder",), True)])
async def test_an_erasure_that_was_interrupted_or_is_not_confirmed_may_be_repeated(
    services: tuple[str, ...], *, swept: bool
) -> None:
    choice = FrameChoice(drive=DriveId("v1:d2"))
    tombstones = await noted(*services, swept=swept)
    assert await choice.among(FRAME_IDS, tombstones) == Chosen([], [])


async def test_a_frame_may_be_named_before_it_comes() -> None:
    choice = FrameChoice([FrameId("v9/9"), FrameId("gone")], vehicle=VehicleId("v1"))
    chosen = await choice.among(FRAME_IDS, await noted())
    assert chosen == Chosen([FrameId("gone"), KNOWN, FrameId("v9/9")], [FrameId("v9/9")])


@pytest.mark.parametrize(
    "given",
    [
        {"frames": [""]},
        {"frames": ["v1/1", "two words"]},
        {"frames": ["f\udcff"]},
        {"drive": ""},
        {"vehicle": "v" * 201},
    ],
)
def test_what_can_be_no_id_is_refused(given: Mapping[str, Any]) -> None:
    """An empty variable of a script would name every dead letter."""
    with pytest.raises(InvalidRecord) as caught:
        FrameChoice.parsed(**{"frames": (), "drive": None, "vehicle": None, **given})
    assert caught.value.reason == "invalid_id"


def test_something_is_named() -> None:
    with pytest.raises(InvalidRecord, match="name a frame"):
        FrameChoice.parsed([], None, None)
