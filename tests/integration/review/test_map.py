"""The map of embeddings: drawn in the background, shown, circled and listed."""

import base64
import csv
import re
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import numpy as np

from services.annotation.exporting import named_frames, proposals_of
from services.app.region_mapping import draw_region_map
from services.cli.work.listed_file import read_listed
from services.contracts.identity import FrameId, ModelId, PointId
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.family_marks import Mark
from services.domain.ports.region_maps import RegionMap
from services.domain.ports.vectors import REGION_VECTORS, Payload, Point, collection_of
from services.runtime.stores.region_maps_mongo import MongoRegionMaps
from tests.fakes.tombstones import InMemoryTombstones
from tests.fakes.vectors import InMemoryVectors
from tests.integration.review.conftest import Browser
from tests.review_world import needle_id_of

MODEL = ModelId("m")
EVERYTHING = "-9,-9 9,-9 9,9 -9,9"


async def embedded(ana: Browser, count: int = 6) -> InMemoryVectors:
    """Vectors of needles' regions, of others, and of an annotated object."""
    vectors = InMemoryVectors()
    collection = collection_of(REGION_VECTORS, MODEL)
    await vectors.ensure(collection, 3, keywords=[], numbers=[])
    await vectors.alias({REGION_VECTORS: collection})
    records = await ana.world.stores.needles.load([needle_id_of(0)])
    needle = records[needle_id_of(0)].needle
    assert needle is not None
    points = []
    for number in range(count):
        payload: Payload = {
            "region_id": needle.region_id if number == 0 else f"region-{number}",
            "frame_id": f"h000-{number}",
            "detector": "" if number == count - 1 else "ods@1",
            "category": "stop sign",
            "score": number / 10,
            **dict.fromkeys(("x", "y", "width", "height"), 20.0),
            "split": "haystack",
            "vehicle_id": "v1",
        }
        vector = np.array([1, number, number % 2], np.float32)
        points.append(Point(PointId(f"{number:032x}"), vector, payload))
    await vectors.upsert(collection, points)
    return vectors


async def test_the_map_has_no_erased_frame_whose_vectors_are_still_there(ana: Browser) -> None:
    stores, vectors = ana.world.stores, await embedded(ana)
    put, tombstones = stores.region_maps.put, InMemoryTombstones()

    async def erase(name: str) -> None:
        request = ErasureRequest("ada", "", ana.world.clock.now(), ("embedder",))
        await tombstones.add([FrameId(name)], request)

    class Erasing(MongoRegionMaps):
        """Another frame is erased while the map is drawn."""

        async def put(self, drawn: RegionMap) -> None:
            await put(drawn)
            await erase("h000-2")

    await erase("h000-1")
    erasing = replace(stores, region_maps=Erasing(stores.database), tombstones=tombstones)
    assert await draw_region_map(erasing, vectors) == 3

    drawn = await stores.region_maps.find()
    assert drawn is not None
    assert {region.frame_id for region in drawn.regions} == {"h000-0", "h000-3", "h000-4"}


async def test_circled_regions_are_listed_with_their_needles(ana: Browser, tmp_path: Path) -> None:
    stores = ana.world.stores
    assert "No map yet" in (await ana.get("/map")).text
    await stores.family_marks.show(
        {needle_id_of(0): Mark("family-1", exemplar=True)}, ana.world.clock.now()
    )

    assert await draw_region_map(stores, await embedded(ana)) == 5

    assert "5 detected regions by likeness" in (await ana.get("/map")).text
    answer = await ana.get("/map/regions")
    again = await ana.get("/map/regions", **{"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == HTTPStatus.NOT_MODIFIED
    sent = answer.json()
    assert len(np.frombuffer(base64.b64decode(sent["places"]), "<f4")) == 10
    assert sent["colours"]["family"]["names"] == ["family-1"]
    page = (await ana.get(f"/map/selection?outline={EVERYTHING}")).text
    assert "5 regions on 5 frames, 1 needle" in page
    assert f"/needles/{needle_id_of(0)}" in page
    table = (await ana.get(f"/map/selection.csv?outline={EVERYTHING}")).text
    rows = [*csv.DictReader(table.splitlines())]
    assert [row["frame_id"] for row in rows] == [f"h000-{k}" for k in (4, 3, 2, 1, 0)]
    assert (rows[-1]["error_type"], rows[-1]["family"]) == ("background", "family-1")
    assert "daylight=" in rows[-1]["tags"]
    path = tmp_path / "regions.csv"
    path.write_text(table)
    frames = await named_frames(stores, read_listed(path))
    assert [frame.frame_id for frame in frames] == [f"h000-{k}" for k in range(4)]
    (proposal,) = frames[0].proposals
    assert (proposal.category, proposal.needle_id) == ("stop sign", needle_id_of(0))
    elsewhere = (await ana.get("/map/selection?outline=8,8 9,8 9,9")).text
    assert "No regions there" in elsewhere
    assert (await ana.get("/map/selection")).status_code == HTTPStatus.BAD_REQUEST


async def test_circled_regions_become_a_shortlist_with_a_name(ana: Browser, ben: Browser) -> None:
    stores = ana.world.stores
    await draw_region_map(stores, await embedded(ana))
    listed = (await ana.get(f"/map/selection?outline={EVERYTHING}")).text
    places = digest_in(listed)
    form: dict[str, object] = {"name": "wet <roads>", "outline": EVERYTHING, "places": places}
    elsewhere: dict[str, object] = {"name": "x", "outline": "8,8 9,8 9,9", "places": places}

    assert "Save as a shortlist" in listed
    made = await ana.post("/map/shortlists", form)
    page = (await ana.get("/map/shortlist?name=wet%20%3Croads%3E")).text
    again = (await ben.post("/map/shortlists", form)).text
    nothing = (await ben.post("/map/shortlists", elsewhere)).text
    unnamed = (await ben.post("/map/shortlists", {"name": " ", "outline": EVERYTHING})).text

    assert made.status_code == HTTPStatus.SEE_OTHER
    assert made.headers["Location"] == "/review/map/shortlist?name=wet+%3Croads%3E"
    assert "5 regions on 5 frames, circled by Ana" in page
    assert "annotated" in page
    assert "wet &lt;roads&gt; is taken" in again
    assert "you circled 0" in nothing
    assert (
        "Circle regions on the map first."
        in (await ben.post("/map/shortlists", {"name": "x"})).text
    )
    assert "Name the shortlist first." in unnamed
    table = (await ben.get("/map/shortlist.csv?name=wet%20%3Croads%3E")).text
    assert [row["frame_id"] for row in csv.DictReader(table.splitlines())] == [
        f"h000-{k}" for k in (4, 3, 2, 1, 0)
    ]
    shortlist = await stores.region_shortlists.find("wet <roads>")
    assert shortlist is not None
    frames = await named_frames(stores, proposals_of(shortlist))
    assert [frame.frame_id for frame in frames] == [f"h000-{k}" for k in range(4)]
    assert frames[0].proposals[0].needle_id == needle_id_of(0)
    assert "1, the latest first" in (await ben.get("/map/shortlists")).text
    gone = (await ben.post("/map/shortlists/delete", {"name": "wet <roads>"})).text
    assert "No shortlists yet" in gone
    assert (await ben.get("/map/shortlist?name=wet")).status_code == HTTPStatus.NOT_FOUND


async def test_an_outline_of_an_older_map_is_refused_and_nothing_is_saved(ana: Browser) -> None:
    stores = ana.world.stores
    await draw_region_map(stores, await embedded(ana))
    drawn = await stores.region_maps.find()
    assert drawn is not None
    address = f"/map/selection?outline={EVERYTHING}"
    page = (await ana.get(address)).text
    places = digest_in(page)
    assert (await ana.get("/map/regions")).json()["digest"] == places
    form: dict[str, object] = {"name": "roads", "outline": EVERYTHING, "places": places}
    other_needles = [region._replace(needle="", family="f") for region in drawn.regions]
    await stores.region_maps.put(replace(drawn, regions=other_needles))
    assert (await ana.get(f"{address}&places={places}")).status_code == HTTPStatus.OK

    moved = [region._replace(x=region.x + 20) for region in drawn.regions[:1]]
    await stores.region_maps.put(replace(drawn, regions=[*moved, *drawn.regions[1:]]))

    for answer in (
        await ana.get(f"{address}&places={places}"),
        await ana.get(f"/map/selection.csv?outline={EVERYTHING}&places={places}"),
        await ana.post("/map/shortlists", form),
    ):
        assert answer.status_code == HTTPStatus.CONFLICT
        assert "The map has been drawn again since" in answer.text
    assert await stores.region_shortlists.find("roads") is None


def digest_in(page: str) -> str:
    found = re.search(r'name="places" value="([0-9a-f]+)"', page)
    assert found is not None
    assert f"places={found[1]}" in page  # the CSV file's address too
    return found[1]


async def test_a_map_has_only_so_many_regions(ana: Browser) -> None:
    vectors = await embedded(ana)

    assert await draw_region_map(ana.world.stores, vectors, most=2) == 2
    assert await draw_region_map(ana.world.stores, InMemoryVectors()) == 0
    size = await ana.world.stores.region_maps.size()
    assert size is not None
    assert size.count == 2
