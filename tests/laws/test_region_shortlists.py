from datetime import timedelta

import pytest

from services.annotation.ports.region_shortlists import (
    ListedRegion,
    RegionShortlist,
    ShortlistSummary,
)
from services.annotation.stores.frame_traces import of_annotation
from services.annotation.stores.region_shortlists_mongo import MongoRegionShortlists
from services.contracts.identity import Category, FrameId, NeedleId, RegionId
from services.runtime.stores.mongo import Database
from tests.samples import CAPTURED_AT as NOW


@pytest.fixture
def shortlists(empty_database: Database) -> MongoRegionShortlists:
    return MongoRegionShortlists(empty_database)


def region(frame: str, number: int = 0, needle: str | None = None) -> ListedRegion:
    box = (1.0, 2.0, 30.5, 40.0)
    name = RegionId(f"{frame}-{number}")
    found = NeedleId(needle) if needle else None
    return ListedRegion(FrameId(frame), name, Category("stop sign"), 0.75, box, found)


def shortlist(name: str = "wet", minute: int = 0, by: str = "Ana") -> RegionShortlist:
    regions = (region("f1"), region("f1", 1, "n1"), region("f2"))
    return RegionShortlist(name, by, NOW + timedelta(minutes=minute), regions)


async def test_shortlists_come_as_they_were_added_the_latest_first(
    shortlists: MongoRegionShortlists,
) -> None:
    assert await shortlists.add(shortlist("wet", 0))
    assert await shortlists.add(shortlist("night", 5, "Ben"))

    assert await shortlists.summaries() == [
        ShortlistSummary("night", "Ben", NOW + timedelta(minutes=5), regions=3, frames=2),
        ShortlistSummary("wet", "Ana", NOW, regions=3, frames=2),
    ]
    assert await shortlists.find("wet") == shortlist("wet", 0)
    assert await shortlists.find("unknown") is None
    assert shortlist().frames == {"f1", "f2"}


async def test_a_name_is_free_again_once_its_shortlist_is_deleted(
    shortlists: MongoRegionShortlists,
) -> None:
    await shortlists.add(shortlist())

    assert not await shortlists.add(shortlist(by="Ben"))
    assert await shortlists.find("wet") == shortlist()
    await shortlists.drop("wet")
    await shortlists.drop("unknown")
    assert await shortlists.add(shortlist(by="Ben"))


async def test_there_are_only_so_many(
    shortlists: MongoRegionShortlists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.annotation.stores.region_shortlists_mongo.MAX_SHORTLISTS", 1)
    await shortlists.add(shortlist())

    assert not await shortlists.add(shortlist("another"))


async def test_an_erased_frame_leaves_its_shortlists(
    shortlists: MongoRegionShortlists, empty_database: Database
) -> None:
    await shortlists.add(shortlist())
    (traces,) = (
        item for item in of_annotation(empty_database) if item.name == "regions on shortlists"
    )

    assert await traces.count([FrameId("f1")]) == 1
    await traces.erase([FrameId("f1")])

    assert await traces.count([FrameId("f1")]) == 0
    found = await shortlists.find("wet")
    assert found is not None
    assert found.regions == (region("f2"),)
