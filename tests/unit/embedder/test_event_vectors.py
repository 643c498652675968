"""Vectors that come with events: what EmbedFrames makes of them, with no image and no model."""

import base64
from collections.abc import Sequence

import numpy as np
import pytest

from services.contracts.errors import InvalidRecord, InvalidSettings
from services.contracts.events import Event, FrameCaptured, FrameVector
from services.contracts.identity import FrameId, frame_point_id, region_point_id
from services.domain.ports.vectors import REGION_VECTORS, collection_of
from services.embedder.event_vectors import EventVectors
from services.embedder.filling import FillModel
from services.embedder.models.choosing import embedder_of
from services.embedder.service import EmbedFrames
from services.runtime.observability.metrics import REGIONS_WITHOUT_VECTOR
from services.runtime.settings import Settings
from tests.fakes.clock import FakeClock
from tests.samples import annotation, detection, frame_annotated, frame_captured, predictions_made
from tests.unit.embedder.test_service import MISSES, World

MODEL = "fleet/vit"
SOURCE = EventVectors.of(Settings(embedder=f"event:{MODEL}:2,3"))


def values_of(*numbers: float, model: str = MODEL) -> FrameVector:
    return FrameVector(
        model=model, values=base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()
    )


def frame(frame_id: str = "f1", vector: FrameVector | None = None) -> FrameCaptured:
    return frame_captured(frame_id).model_copy(update={"vector": vector or values_of(3, 4)})


STOP = detection(score=0.9).model_copy(update={"vector": values_of(0, 0, 5)})
LAMP = detection("traffic light", score=0.4).model_copy(update={"vector": values_of(1, 2, 2)})


class Fleet(World):
    """Frames whose images are nowhere to be read."""

    def by_events(self) -> EmbedFrames:
        return EmbedFrames(
            SOURCE,
            self.embeddings,
            self.frames,
            self.vectors,
            outbox=self.outbox,
            settings=self.settings,
            clock=FakeClock(),
        )

    async def receive(self, events: Sequence[Event]) -> None:
        await self.by_events().run(events)


async def test_frames_and_regions_have_the_vectors_that_came() -> None:
    world = Fleet()
    made = predictions_made(STOP, LAMP)
    await world.receive([frame(), made])

    points = [region_point_id(SOURCE.model_id, region) for region in made.region_ids()]
    regions = await world.vectors.load(REGION_VECTORS, points)
    frames = await world.vectors.load("frames", [frame_point_id(SOURCE.model_id, made.frame_id)])
    assert [list(vector) for vector in frames.values()] == [pytest.approx([0.6, 0.8])]
    assert list(regions[points[0]]) == [0, 0, 1]
    assert list(regions[points[1]]) == pytest.approx([1 / 3, 2 / 3, 2 / 3])


def test_models_of_different_names_have_different_ids() -> None:
    names = ["模型一", "模型二", "a/b", "a b", "a_b"]
    ids = {EventVectors(name, 512, 512).model_id for name in names}
    assert len(ids) == len(names)
    assert "event-a_b-512d-512d" in ids


async def test_a_detection_without_a_usable_vector_is_counted_and_the_others_are_stored() -> None:
    world = Fleet()
    given = [
        STOP,
        LAMP.model_copy(update={"vector": None}),
        detection(bbox=(1, 1, 9, 9)).model_copy(
            update={"vector": values_of(1, 2, 3, model="other")}
        ),
        detection(bbox=(2, 1, 9, 9)).model_copy(update={"vector": values_of(1, 2)}),
        detection(bbox=(3, 1, 9, 9)).model_copy(update={"vector": values_of(1, float("nan"), 2)}),
        detection(bbox=(4, 1, 9, 9)).model_copy(
            update={"vector": FrameVector(model=MODEL, values="A")}
        ),
    ]
    counted = {
        reason: REGIONS_WITHOUT_VECTOR.labels(SOURCE.model_id, reason)
        for reason in ("no_vector", "invalid_vector")
    }
    before = {reason: counter._value.get() for reason, counter in counted.items()}
    made = predictions_made(*given)
    await world.receive([frame(), made])

    embedded = (await world.record()).embedded[SOURCE.model_id]
    assert embedded.regions == {made.detector_id: (made.region_ids()[0],)}
    rise = {reason: counter._value.get() - before[reason] for reason, counter in counted.items()}
    assert rise == {"no_vector": 2, "invalid_vector": 3}


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (values_of(1, 2, model="other"), "no_vector"),
        (values_of(1, 2, 3), "invalid_vector"),
        (values_of(1, float("inf")), "invalid_vector"),
    ],
)
async def test_a_frame_without_a_usable_vector_fails_alone(
    vector: FrameVector, reason: str
) -> None:
    world = Fleet()
    with pytest.raises(InvalidRecord) as raised:
        await world.receive([frame("bad", vector), frame("good")])
    assert raised.value.reason == reason
    assert (await world.record("good")).embedded
    assert not (await world.record("bad")).embedded


async def test_annotated_objects_have_no_vector_to_come_with() -> None:
    world = Fleet(settings=MISSES)
    await world.receive([frame(), frame_annotated(annotation())])
    assert (await world.record()).embedded[SOURCE.model_id].annotations == ()


async def test_either_alphabet_of_base64_is_read() -> None:
    world = Fleet()
    numbers = np.frombuffer(b"\xff\xfe\xfb\x3f\xfb\xff\xef\x3e", "<f4")
    plain = base64.b64encode(numbers.tobytes()).decode()
    ends = []
    for text in (plain, base64.urlsafe_b64encode(numbers.tobytes()).decode().rstrip("=")):
        world = Fleet()
        await world.receive([frame(vector=FrameVector(model=MODEL, values=text))])
        loaded = await world.vectors.load(
            "frames", [frame_point_id(SOURCE.model_id, FrameId("f1"))]
        )
        ends += [list(vector) for vector in loaded.values()]
    assert set(plain) & set("+/")
    assert len(ends) == 2
    assert ends[0] == ends[1]


async def test_it_fills_its_collections_from_stored_events_while_another_model_is_live() -> None:
    world = Fleet()
    made = predictions_made(STOP, LAMP)
    stored = world.captured().model_copy(update={"vector": values_of(3, 4)})
    await world.run(stored, made)

    filled = await FillModel(world.by_events(), world.embeddings).fill()

    assert (filled.done, filled.captured) == (1, 1)
    points = [region_point_id(SOURCE.model_id, region) for region in made.region_ids()]
    held = await world.vectors.load(collection_of(REGION_VECTORS, SOURCE.model_id), points)
    assert held.keys() == set(points)


@pytest.mark.parametrize(
    "text", ["event:", "event:vit", "event:vit:0", "event:vit:5000", "event:vit:2,"]
)
def test_a_setting_that_names_no_dimensions_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match="event:"):
        EventVectors.of(Settings(embedder=text))


def test_no_image_can_be_embedded_by_them() -> None:
    with pytest.raises(InvalidSettings, match="come with the events"):
        embedder_of(Settings(embedder="event:vit:2"))
