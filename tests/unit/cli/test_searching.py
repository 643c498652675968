import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from services.app.searching import SearchQuery, TextQuery, drawn, search, search_text
from services.cli.main import app
from services.contracts.errors import InvalidRecord, InvalidSettings
from services.contracts.identity import (
    Box,
    ModelId,
    RegionId,
    frame_point_id,
    region_point_id,
)
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    Payload,
    Point,
    Where,
    collection_of,
)
from services.domain.redaction import RedactionRule
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages
from tests import samples
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.embedder import WidthEmbedder
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.vectors import InMemoryVectors

MODEL = WidthEmbedder.model_id
LIMITS = ImageLimits.of(Settings())


class World:
    """Frames whose regions are as wide as a test says; boxes of like width are alike."""

    def __init__(self, embedder: WidthEmbedder | None = None) -> None:
        self.embedder = embedder or WidthEmbedder()
        self.frames = InMemoryFrameStore()
        self.vectors = InMemoryVectors()

    async def add(self, frame_id: str, *widths: float, category: str = "stop sign") -> None:
        boxes: list[Box] = [(10.0, 20.0, width, 20.0) for width in widths]
        predictions = samples.predictions_made(
            *(samples.detection(category, bbox=box) for box in boxes), frame_id=frame_id
        )
        await self.frames.record([samples.frame_captured(frame_id), predictions])
        (embedded,) = WidthEmbedder().embed([picture()], [np.array(boxes)])
        for alias in (REGION_VECTORS, FRAME_VECTORS):
            collection = collection_of(alias, MODEL)
            await self.vectors.ensure(collection, 2, keywords=(), numbers=())
            await self.vectors.alias({alias: collection})
        found: Payload = {"frame_id": frame_id, "category": category, "score": 0.9}
        points = [
            Point(
                region_point_id(MODEL, region),
                vector,
                {**found, **dict(zip(("x", "y", "width", "height"), box, strict=True))},
            )
            for region, vector, box in zip(
                predictions.region_ids(), embedded.regions, boxes, strict=True
            )
        ]
        await self.vectors.upsert(collection_of(REGION_VECTORS, MODEL), points)
        whole = Point(
            frame_point_id(MODEL, predictions.frame_id), embedded.frame, {"frame_id": frame_id}
        )
        await self.vectors.upsert(collection_of(FRAME_VECTORS, MODEL), [whole])

    async def found(
        self, width: float | None, limit: int = 10, category: str | None = None
    ) -> list[str]:
        box = None if width is None else (0.0, 0.0, width, 10.0)
        where = Where({"category": category} if category else {})
        asked = SearchQuery(saved(picture()), box, where, limit)
        found = await search(asked, self.embedder, self.vectors, self.frames, LIMITS)
        return [item.frame.frame_id for item in found]


def picture() -> Image.Image:
    return Image.new("RGB", (320, 240))


def saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


class HalfSized(WidthEmbedder):
    """Wants a frame of 320 by 240 pixels decoded at half of that."""

    decoded_side = 120


async def test_the_frames_with_the_most_similar_region_come_first() -> None:
    world = World()
    for name, width in (("wide", 90), ("alike", 31), ("near", 45)):
        await world.add(name, width)
    assert await world.found(30) == ["alike", "near", "wide"]
    assert await world.found(30, limit=1) == ["alike"]


async def test_a_frame_with_many_similar_regions_is_found_once() -> None:
    world = World()
    await world.add("many", 30, 31, 32)
    await world.add("one", 40)
    assert await world.found(30, limit=2) == ["many", "one"]


async def test_only_the_category_that_is_asked_for_is_found() -> None:
    world = World()
    await world.add("stop", 30)
    await world.add("yield", 31, category="yield")
    assert await world.found(30, category="yield") == ["yield"]


async def test_without_a_region_whole_frames_are_found() -> None:
    world = World()
    await world.add("f1", 30)
    assert await world.found(None) == ["f1"]


async def test_the_picture_is_decoded_as_stored_frames_are() -> None:
    world = World(HalfSized())
    for name, width in (("half", 30), ("whole", 60)):
        await world.add(name, width)
    assert await world.found(60) == ["half", "whole"]


async def test_nothing_embedded_and_another_model_are_said_plainly() -> None:
    world = World()
    with pytest.raises(InvalidSettings, match="no vectors are stored"):
        await world.found(30)
    await world.vectors.alias({REGION_VECTORS: collection_of(REGION_VECTORS, samples.MODEL)})
    with pytest.raises(InvalidSettings, match="small-test"):
        await world.found(30)


async def test_a_region_outside_of_the_picture_is_refused() -> None:
    world = World()
    await world.add("a", 10.0)
    asked = SearchQuery(saved(picture()), (320.0, 0.0, 10.0, 10.0), Where(), 10)

    with pytest.raises(InvalidRecord, match="320 by 240 pixels"):
        await search(asked, world.embedder, world.vectors, world.frames, LIMITS)


async def by_text(world: World, *, regions: bool, text: tuple[float, ...] = (1, 0)) -> list[str]:
    asked = TextQuery("a wide sign", np.array(text, np.float32), regions, Where(), 10)
    found = await search_text(asked, world.embedder, world.vectors, world.frames)
    images = ShownImages(InMemoryBlobs(), LIMITS, RedactionRule())
    assert drawn(asked, [], images, LIMITS).width > 0
    return [item.frame.frame_id for item in found]


class Crops(WidthEmbedder):
    """A region's vector is that of two crops."""

    model_id = ModelId("crops-test")
    region_dimension = 4


async def test_a_text_finds_frames_in_the_space_of_their_vectors() -> None:
    world = World()
    await world.add("f1", 30)
    assert await by_text(world, regions=False) == ["f1"]
    with pytest.raises(InvalidSettings, match="3 numbers, a frame's 2"):
        await by_text(world, regions=False, text=(1, 0, 0))


async def test_a_text_finds_regions_whose_crops_are_both_like_it() -> None:
    world = World(Crops())
    await world.add("f1", 30)
    await world.add("f2", 60)
    collection = collection_of(REGION_VECTORS, Crops.model_id)
    await world.vectors.ensure(collection, 4, keywords=(), numbers=())
    await world.vectors.alias({REGION_VECTORS: collection})
    for number, (frame_id, vector) in enumerate({"f1": (1, 0, 0, 1), "f2": (1, 0, 1, 0)}.items()):
        point_id = region_point_id(Crops.model_id, RegionId(str(number)))
        point = Point(point_id, np.array(vector, np.float32), {"frame_id": frame_id})
        await world.vectors.upsert(collection, [point])
    assert await by_text(world, regions=True) == ["f2", "f1"]


async def test_regions_that_were_pooled_from_a_map_are_not_in_a_texts_space() -> None:
    world = World()
    await world.add("f1", 30)
    with pytest.raises(InvalidSettings, match="REGION_ENCODER is crop"):
        await by_text(world, regions=True)


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_search(tmp_path: Path) -> None:
    query = tmp_path / "sign.jpg"
    query.touch()
    arguments = ["search", "--image", str(query), "--montage", str(tmp_path / "found.txt")]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--data", str(tmp_path), *arguments])
    assert done.exit_code == 2
    assert "must end in .png, .jpg, .jpeg" in done.stderr
