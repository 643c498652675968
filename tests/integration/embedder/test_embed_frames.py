"""EmbedFrames with a shipped model, Qdrant Edge and real pictures."""

from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.contracts.errors import InvalidImage
from services.contracts.events import Event, FrameCaptured, PredictionsMade
from services.contracts.identity import Box, FrameId, region_point_id
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, VectorStore, Where
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.picture_vectors import PictureVectors
from services.embedder.service import EmbedFrames
from services.runtime.settings import Settings
from services.runtime.stores.vectors_open import open_vector_store
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.outbox import InMemoryOutbox
from tests.samples import detection, frame_captured, predictions_made

SIGN: Box = (40.0, 30.0, 24.0, 24.0)
LAMP: Box = (110.0, 20.0, 12.0, 30.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, embedder="gazeloop-small", torch_threads=1)


@pytest.fixture(scope="module")
def embedder() -> TorchEmbedder:
    return TorchEmbedder.of(Settings(embedder="gazeloop-small", torch_threads=1))


@pytest.fixture
async def vectors(settings: Settings) -> AsyncIterator[VectorStore]:
    store = open_vector_store(settings)
    yield store
    await store.close()


class Survey:
    """Frames with a red disc and a yellow bar, each time at another place and in another light."""

    def __init__(self, blobs: InMemoryBlobs) -> None:
        self._blobs = blobs

    def frame(self, number: int) -> FrameCaptured:
        return self._captured(f"f{number:02d}", _jpeg(number))

    def broken(self) -> FrameCaptured:
        return self._captured("broken", _jpeg(0)[:600])

    def predictions(self, number: int, revision: int = 1) -> PredictionsMade:
        found = [detection("stop sign", 0.8, SIGN), detection("stop sign", 0.7, LAMP)]
        return predictions_made(
            *found[: 3 - revision], frame_id=f"f{number:02d}", revision=revision
        )

    def _captured(self, frame_id: str, content: bytes) -> FrameCaptured:
        frame = frame_captured(frame_id, drive_id=None)
        image = frame.image.model_copy(update={"uri": self._blobs.put(content)})
        return frame.model_copy(update={"image": image})


def _jpeg(number: int) -> bytes:
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(60, 180, (90, 160, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    red, shade = int(rng.integers(170, 250)), int(rng.integers(20, 60))
    x, y, width, height = SIGN
    draw.ellipse((x, y, x + width, y + height), fill=(red, shade, shade))
    draw.text((x + 4, y + 6), "STOP", fill=(250, 250, 250))
    x, y, width, height = LAMP
    draw.rectangle((x, y, x + width, y + height), fill=(red, red - 30, shade))
    content = BytesIO()
    image.save(content, "JPEG")
    return content.getvalue()


async def test_the_same_thing_is_found_on_other_frames(
    settings: Settings, embedder: TorchEmbedder, vectors: VectorStore
) -> None:
    frames, blobs, outbox = InMemoryFrameStore(), InMemoryBlobs(), InMemoryOutbox()
    embeddings = InMemoryEmbeddings()
    survey = Survey(blobs)
    step = EmbedFrames(
        PictureVectors(embedder, blobs, settings),
        embeddings,
        frames,
        vectors,
        outbox=outbox,
        settings=settings,
        clock=FakeClock(),
    )
    numbers = range(20)
    events: Sequence[Event] = [
        *(survey.predictions(number) for number in numbers),
        *(survey.frame(number) for number in numbers),
    ]

    await step.run(events)

    signs, lamps = (
        [survey.predictions(number).region_ids()[place] for number in numbers] for place in (0, 1)
    )
    for wanted in (signs, lamps):
        loaded = await vectors.load(REGION_VECTORS, [region_point_id(embedder.model_id, wanted[0])])
        [query] = loaded.values()
        hits = await vectors.nearest(REGION_VECTORS, query, Where(at_least={"score": 0.5}), 15)
        found = [hit.payload["region_id"] in wanted for hit in hits]
        assert len(hits) == 15
        assert np.mean(found) > 0.9
        assert hits[0].similarity == pytest.approx(1, abs=1e-5)


async def test_what_is_embedded_outlives_the_process_and_its_revisions(
    settings: Settings, embedder: TorchEmbedder
) -> None:
    frames, blobs, outbox = InMemoryFrameStore(), InMemoryBlobs(), InMemoryOutbox()
    embeddings = InMemoryEmbeddings()
    survey = Survey(blobs)
    points = {
        region_point_id(embedder.model_id, region) for region in survey.predictions(1).region_ids()
    }
    left = []
    for revision in (1, 2):
        store = open_vector_store(settings)
        step = EmbedFrames(
            PictureVectors(embedder, blobs, settings),
            embeddings,
            frames,
            store,
            outbox=outbox,
            settings=settings,
            clock=FakeClock(),
        )
        await step.run([survey.frame(1), survey.predictions(1, revision)])
        await store.close()
        again = open_vector_store(settings)
        left.append(await again.load(REGION_VECTORS, points))
        globals_ = await again.nearest(FRAME_VECTORS, np.ones(128, np.float32), Where(), 5)
        await again.close()
        assert [hit.payload["frame_id"] for hit in globals_] == ["f01"]

    assert left[0].keys() == points
    assert len(left[1]) == 1
    assert all(np.linalg.norm(vector) == pytest.approx(1) for vector in left[0].values())


async def test_a_truncated_frame_fails_alone_and_its_neighbours_are_kept(
    settings: Settings, embedder: TorchEmbedder, vectors: VectorStore
) -> None:
    frames, blobs, outbox = InMemoryFrameStore(), InMemoryBlobs(), InMemoryOutbox()
    embeddings = InMemoryEmbeddings()
    survey = Survey(blobs)
    step = EmbedFrames(
        PictureVectors(embedder, blobs, settings),
        embeddings,
        frames,
        vectors,
        outbox=outbox,
        settings=settings,
        clock=FakeClock(),
    )

    with pytest.raises(InvalidImage):
        await step.run([survey.frame(1), survey.broken(), survey.frame(2)])

    embedded = await embeddings.load([FrameId("f01"), FrameId("f02"), FrameId("broken")])
    assert {frame_id for frame_id, record in embedded.items() if record.embedded} == {"f01", "f02"}
