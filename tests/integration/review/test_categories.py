"""The page of category maps."""

from http import HTTPStatus

from services.contracts.identity import Category
from tests.integration.review.conftest import Browser
from tests.samples import frame_matched

UNKNOWN = Category("stop_sign")


async def test_an_unknown_category_is_listed_until_it_is_mapped(ana: Browser) -> None:
    stores = ana.world.stores
    await stores.matches.record([frame_matched("r900", category=UNKNOWN)])
    assert "neither annotated nor mapped" in (await ana.get("/categories")).text
    wanted: dict[str, object] = {
        "detector": "ods@1",
        "name": UNKNOWN,
        "meaning": "same",
        "category": "stop sign",
    }

    answer = await ana.post("/categories", wanted)

    page = (await ana.get("/categories")).text
    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert "neither annotated nor mapped" not in page
    (stored,) = await stores.category_maps.all()
    assert (stored.scope, stored.map.names, stored.changed_by) == (
        "ods@1",
        {UNKNOWN: "stop sign"},
        "Ana",
    )

    await ana.post("/categories", wanted | {"meaning": "dropped"})
    assert "neither annotated nor mapped" in (await ana.get("/categories")).text


async def test_what_is_no_detector_or_category_is_refused_by_name(ana: Browser) -> None:
    wanted: dict[str, object] = {
        "detector": "ods@9",
        "name": UNKNOWN,
        "meaning": "same",
        "category": " ",
    }
    blank = await ana.post("/categories", wanted)
    nobody = await ana.post("/categories", wanted | {"detector": "a b"})
    assert blank.status_code == nobody.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "blank or has an invisible character" in blank.text
    assert "neither NAME nor NAME@VERSION" in nobody.text
    assert all(stored.scope != "ods@9" for stored in await ana.world.stores.category_maps.all())
