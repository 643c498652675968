"""Regions and frames that look like one, found by their stored vectors."""

import csv
from dataclasses import replace
from http import HTTPStatus

import pytest
from fastapi import FastAPI

from services.annotation.review.similar import SimilarThings
from services.contracts.identity import ModelId
from tests.fakes.similar import SlantedEmbedder, four_things
from tests.fakes.vectors import InMemoryVectors
from tests.integration.review.conftest import Browser, served
from tests.review_world import World


@pytest.fixture
async def vectors() -> InMemoryVectors:
    return await four_things()


@pytest.fixture
def app(world: World, vectors: InMemoryVectors) -> FastAPI:
    return served(replace(world, context=replace(world.context, similar=SimilarThings(vectors))))


async def frames(ana: Browser, query: str) -> list[str]:
    table = (await ana.get(f"/similar.csv?{query}")).text
    return [row["frame_id"] for row in csv.DictReader(table.splitlines())]


async def test_similar_detections_are_listed_best_first(ana: Browser) -> None:
    page = (await ana.get("/similar?region=r0")).text

    assert page.index("h000-1</span>") < page.index("h000-2</span>")
    assert "h000-3" not in page
    assert await frames(ana, "region=r0") == ["h000-1", "h000-2"]
    assert await frames(ana, "region=r0&split=reference") == ["h000-2"]


async def test_similar_frames_are_listed_best_first(ana: Browser) -> None:
    assert await frames(ana, "frame=h000-1&split=nowhere") == ["h000-0", "h000-2", "h000-3"]
    assert 'href="/review/similar?frame=h000-1"' in (await ana.get("/frames?id=h000-1")).text


async def test_what_has_no_vector_has_nothing_similar(ana: Browser) -> None:
    for query in ("region=unknown", "frame=unknown", ""):
        answer = await ana.get(f"/similar?{query}")
        assert answer.status_code == HTTPStatus.NOT_FOUND
        assert "has no vector yet" in answer.text


async def searching(world: World, vectors: InMemoryVectors, embedder: SlantedEmbedder) -> Browser:
    similar = SimilarThings(vectors, embedder)
    browser = Browser(
        world, served(replace(world, context=replace(world.context, similar=similar)))
    )
    await browser.log_in("Ana")
    return browser


async def test_regions_like_any_part_of_a_frame_are_found(
    world: World, vectors: InMemoryVectors
) -> None:
    ana = await searching(world, vectors, SlantedEmbedder())

    assert await frames(ana, "frame=h001-0&box=10,0,5,5") == ["h000-0", "h000-1", "h000-2"]
    assert await frames(ana, "frame=h001-0&box=1,9,5,5&split=haystack") == ["h000-1", "h000-0"]
    page = (await ana.get("/similar?frame=h001-0&box=10,0,5,5")).text
    assert 'name="box" value="10,0,5,5"' in page
    assert "data-crop" in (await ana.get("/frames?id=h001-0")).text
    for query, why in (
        ("frame=h001-0&box=10,0,5", "with commas"),
        ("frame=h001-0&box=10,0,-5,nan", "with commas"),
        ("frame=h001-0&box=101,0,5,5", "lies outside the image"),
        ("frame=unknown&box=10,0,5,5", "no image of frame unknown"),
    ):
        assert why in (await ana.get(f"/similar?{query}")).text
    await ana.client.aclose()


async def test_regions_and_frames_are_found_by_words(
    world: World, vectors: InMemoryVectors
) -> None:
    ana = await searching(world, vectors, SlantedEmbedder())

    assert await frames(ana, "text=a") == ["h000-2", "h000-1", "h000-0"]
    assert (await frames(ana, "text=a&of=frames"))[0] == "h000-3"
    page = (await ana.get("/similar?text=a+<b>&of=frames")).text
    assert "Frames like “a &lt;b&gt;”" in page
    assert "Find by words" in (await ana.get("/map")).text
    await ana.client.aclose()


async def test_another_models_query_finds_nothing(world: World, vectors: InMemoryVectors) -> None:
    ana = await searching(world, vectors, SlantedEmbedder(ModelId("other")))

    answer = await ana.get("/similar?text=sign")
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "of another model" in answer.text
    await ana.client.aclose()


async def test_without_an_embedder_only_what_has_a_vector_is_searched_by(ana: Browser) -> None:
    assert "cannot embed" in (await ana.get("/similar?text=sign")).text
    assert "data-crop" not in (await ana.get("/frames?id=h000-1")).text
    assert "Find by words" not in (await ana.get("/map")).text


async def test_a_page_without_vectors_offers_no_search(world: World) -> None:
    browser = Browser(world, served(world))
    await browser.log_in("Ana")

    assert "/similar" not in (await browser.get("/frames?id=h000-1")).text
    answer = await browser.get("/similar?region=r0")
    assert "no access to the vectors" in answer.text
    await browser.client.aclose()
