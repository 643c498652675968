"""Three models of the user's own on the embedded stack, filled, compared, and used.

An ONNX file is live; a factory's model is filled while vehicles drive, and used; vectors that came
with the events are filled from what is stored.
"""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from services.app.assembly import running
from services.app.filling import filler
from services.app.models import Models, read_models, use
from services.app.parts import App, joined
from services.contracts.events import REANNOTATION_SOURCE, FrameVector
from services.contracts.identity import FrameId, ModelId
from services.embedder.filling import Filled
from services.formats.items import Detector, FrameItem, Item, Located
from services.formats.readers.coco import read_coco
from services.ingest.parts import IngestParts
from services.ingest.publishing import publish_dataset
from services.retriever.comparison import Comparison, ModelComparer
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from services.runtime.stores.vectors_open import open_collection_names, open_vector_store
from services.survey.generate import generate_survey
from tests.unit.embedder.foreign import Features, transformer, write_card, write_onnx

DRIVES, FRAMES, LATER = 12, 5, 10
BY_EVENTS, SIDES = "sides", 4
_LOOKS, _LOOK_EVERY_S = 3000, 0.1


class Colours:
    """A model in the user's own package: mean colours of the image and of each box."""

    def identity(self) -> str:
        return "mean-colours"

    def dimensions(self) -> tuple[int, int]:
        return 3, 3

    def embed(
        self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float64]]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        return [
            (colour(image), np.array([colour(cut(image, box)) for box in of]).reshape(-1, 3))
            for image, of in zip(images, boxes, strict=True)
        ]


def cut(image: Image.Image, box: NDArray[np.float64]) -> Image.Image:
    x, y, width, height = box
    return image.crop((int(x), int(y), int(x + width) + 1, int(y + height) + 1))


def colour(image: Image.Image) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = np.asarray(image, np.float32).reshape(-1, 3).mean(axis=0)
    return mean


def with_vectors(item: Item) -> Item:
    """The frame and its detections with vectors by a model on the vehicle."""
    assert isinstance(item, FrameItem)
    detections = tuple(
        Located(found.value.model_copy(update={"vector": vector(found.value.bbox)}), found.location)
        for found in item.detections or ()
    )
    return replace(item, vector=vector((1, 1, 1, 1)), detections=detections)


def vector(sides: Sequence[float]) -> FrameVector:
    values = base64.b64encode(np.array(sides, "<f4").tobytes()).decode()
    return FrameVector(model=BY_EVENTS, values=values)


@dataclass
class Story:
    """What was seen on the way."""

    filled: list[Models] = field(default_factory=list)
    planned_by: list[set[ModelId]] = field(default_factory=list)
    by_events: Filled | None = None
    comparison: Comparison | None = None


class Stack:
    """The running stack, and what a person does to it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._names = open_collection_names(app.settings)

    async def publish(self, items: Sequence[Item]) -> None:
        app = self._app
        parts = IngestParts.of(app.stores, app.outbox, app.settings, SystemClock())
        await publish_dataset(items, parts)

    async def correct_half_of_what_is_shortlisted(self) -> None:
        """Annotators say of every second shortlisted frame what the survey says."""
        frames: set[FrameId] = set()
        async for record in self._app.stores.needles.scan():
            if record.shortlist is not None:
                frames |= {candidate.frame_id for candidate in record.shortlist.candidates}
        for frame in (await self._app.stores.frames.load(sorted(frames)[::2])).values():
            truth = frame.ground_truth
            assert truth is not None
            again = {"revision": truth.revision + 1, "annotation_source": REANNOTATION_SOURCE}
            fields = truth.model_dump(exclude={"event_id", "schema_version"}) | again
            await self._app.outbox.publish([type(truth).model_validate(fields)])
        await self._app.caught_up()

    async def models(self) -> Models:
        return await read_models(self._names, self._app.stores.embeddings)

    async def filled(self) -> Models:
        """Both of them, once they have every frame."""
        for _ in range(_LOOKS):
            found = await self.models()
            if len(found.models) == 2 and all(m.done == found.captured for m in found.models):
                return found
            await asyncio.sleep(_LOOK_EVERY_S)
        pytest.fail(f"not filled: {found}")

    async def use(self, model: ModelId) -> None:
        await use(model, self._names, self._app.stores.embeddings, self._app.outbox)
        await self._app.caught_up()

    async def planned_by(self) -> set[ModelId]:
        """The models of the shortlists that name a frame which is not corrected yet."""
        corrected = await self._app.stores.frames.annotated_from(REANNOTATION_SOURCE)
        return {
            record.shortlist.provenance.model
            async for record in self._app.stores.needles.scan()
            if record.shortlist is not None
            and any(
                candidate.frame_id not in corrected for candidate in record.shortlist.candidates
            )
        }


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return asyncio.run(_story(tmp_path_factory.mktemp("models")))


async def _story(folder: Path) -> Story:
    files = generate_survey(folder / "survey", drives=DRIVES, frames_per_drive=FRAMES)
    dataset = read_coco(
        files.ground_truth_json,
        images=files.images_dir,
        predictions=files.predictions_json,
        detector=Detector("ods", "1"),
        dataset="survey",
    )
    items = [with_vectors(item) for item in dataset.items]
    onnx = write_onnx(
        folder / "vit.onnx", Features(transformer()), ("tokens", "pooled"), sides=False
    )
    write_card(onnx)
    settings = Settings(
        data=folder / "data",
        http_port=0,
        metrics_port=0,
        event_version=2,
        embedder=str(onnx),
        region_encoder="roi",
        torch_threads=1,
        reference_share=0.3,
        epoch_s=0.2,
    )
    beside = settings.model_copy(update={"embedder": f"{__name__}:Colours"})
    seen = Story()
    async with running(settings, fill_settings=beside) as app:
        stack = Stack(app)
        await stack.publish(items[:-LATER])
        await app.caught_up()
        seen.filled.append(await stack.filled())
        await stack.publish(items[-LATER:])
        await app.caught_up()
        seen.filled.append(await stack.filled())
        await stack.correct_half_of_what_is_shortlisted()
        old = seen.filled[-1].live
        assert old is not None
        (new,) = (item for item in seen.filled[-1].models if item != old)
        for model in (new.model_id, old.model_id, new.model_id):
            await stack.use(model)
            seen.planned_by.append(await stack.planned_by())
        seen.filled.append(await stack.models())
    vectors = open_vector_store(settings)
    by_events = settings.model_copy(update={"embedder": f"event:{BY_EVENTS}:{SIDES}"})
    async with joined(settings) as app:
        work = await filler(by_events, app.stores, vectors, outbox=app.outbox, clock=SystemClock())
        seen.by_events = await work.fill()
        comparer = ModelComparer(
            frames=app.stores.frames,
            matches=app.stores.matches,
            needles=app.stores.needles,
            vectors=vectors,
            settings=settings,
        )
        seen.comparison = await comparer.compare([old.model_id, new.model_id, work.model_id])
    await vectors.close()
    return seen


def test_the_new_model_gets_what_was_there_and_what_comes(story: Story) -> None:
    first, later, _ = story.filled
    assert [models.captured for models in (first, later)] == [
        DRIVES * FRAMES - LATER,
        DRIVES * FRAMES,
    ]
    assert all(model.lacking == 0 for found in (first, later) for model in found.models)
    assert later.live == next(item for item in later.models if item.model_id.startswith("onnx"))


def test_shortlists_follow_the_model_that_is_used_there_and_back(story: Story) -> None:
    new, old, again = story.planned_by
    assert [["own-mean-colours" in model for model in item] for item in story.planned_by] == [
        [True],
        [False],
        [True],
    ]
    assert new == again != old
    live = story.filled[-1].live
    assert live is not None
    assert {live.model_id} == new


def test_vectors_of_events_are_filled_from_what_is_stored(story: Story) -> None:
    assert story.by_events == Filled(done=DRIVES * FRAMES, captured=DRIVES * FRAMES)


def test_all_are_compared_on_the_same_verdicts(story: Story) -> None:
    comparison = story.comparison
    assert comparison is not None
    assert comparison.confirmed > 0
    old, new, by_events = comparison.models
    assert old.haystack_frames == new.haystack_frames == by_events.haystack_frames > 0
    assert all(interval is not None for interval in new.over_first.values())
