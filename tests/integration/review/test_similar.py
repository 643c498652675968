"""Regions and frames that look like one, found by their stored vectors."""

import csv
from dataclasses import replace
from http import HTTPStatus

import numpy as np
import pytest
from fastapi import FastAPI

from services.annotation.review.similar import SimilarThings
from services.contracts.identity import FrameId, ModelId, RegionId, frame_point_id, region_point_id
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Point, collection_of
from tests.fakes.vectors import InMemoryVectors
from tests.integration.review.conftest import Browser, served
from tests.review_world import World

MODEL = ModelId("m")


@pytest.fixture
async def vectors() -> InMemoryVectors:
    """Four regions and frames, each less like the first; the last region is an annotated object."""
    made = InMemoryVectors()
    names = {alias: collection_of(alias, MODEL) for alias in (FRAME_VECTORS, REGION_VECTORS)}
    for collection in names.values():
        await made.ensure(collection, 2, keywords=[], numbers=[])
    await made.alias(names)
    for place in range(4):
        vector = np.array([np.cos(place / 4), np.sin(place / 4)], np.float32)
        frame = {"frame_id": f"h000-{place}", "split": "reference" if place == 2 else "haystack"}
        region = {
            **frame,
            "region_id": f"r{place}",
            "detector": "" if place == 3 else "ods@1",
            "category": "stop sign",
            "score": 0.5,
            **dict.fromkeys(("x", "y", "width", "height"), 20.0),
        }
        points = [Point(region_point_id(MODEL, RegionId(f"r{place}")), vector, region)]
        await made.upsert(names[REGION_VECTORS], points)
        points = [Point(frame_point_id(MODEL, FrameId(f"h000-{place}")), vector, frame)]
        await made.upsert(names[FRAME_VECTORS], points)
    return made


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


async def test_a_page_without_vectors_offers_no_search(world: World) -> None:
    browser = Browser(world, served(world))
    await browser.log_in("Ana")

    assert "/similar" not in (await browser.get("/frames?id=h000-1")).text
    answer = await browser.get("/similar?region=r0")
    assert "no access to the vectors" in answer.text
    await browser.client.aclose()
