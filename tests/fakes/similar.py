"""Vectors to search, and what embeds what is searched by."""

import numpy as np

from services.annotation.ports.query_embedder import Query
from services.contracts.errors import InvalidRecord
from services.contracts.identity import (
    Box,
    FrameId,
    ModelId,
    RegionId,
    frame_point_id,
    region_point_id,
)
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Point, collection_of
from tests.fakes.vectors import InMemoryVectors

MODEL = ModelId("m")


async def four_things() -> InMemoryVectors:
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


class SlantedEmbedder:
    """Embeds a box as the direction of its corner, and a text as that of its length."""

    reads_text = True

    def __init__(self, model: ModelId = MODEL) -> None:
        self._model = model

    async def of_box(self, content: bytes, box: Box) -> Query:
        assert content[1:4] == b"PNG", "the frame's own image"
        if box[0] > 100:
            raise InvalidRecord("the box lies outside the image")
        return Query(self._model, np.array([box[0], box[1]], np.float32))

    async def of_text(self, text: str, *, regions: bool) -> Query:
        return Query(self._model, np.array([regions, len(text)], np.float32))
