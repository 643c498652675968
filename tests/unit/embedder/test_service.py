"""What EmbedFrames leaves behind, on fakes: vectors, records and events."""

from collections.abc import Awaitable, Callable, Sequence
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from services.contracts.errors import (
    Fatal,
    Invalid,
    InvalidImage,
    MissingImage,
    StoreUnavailable,
)
from services.contracts.events import (
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.identity import FrameId, PointId, frame_point_id, region_point_id
from services.domain.ports.embeddings import EmbeddingRecord
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Point, Where
from services.embedder.embedder import Boxes, FrameVectors
from services.embedder.picture_vectors import PictureVectors
from services.embedder.service import EmbedFrames
from services.runtime.settings import Settings
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.embedder import MeanColour
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.vectors import InMemoryVectors
from tests.samples import (
    DETECTOR,
    annotation,
    detection,
    frame_annotated,
    frame_captured,
    needle_found,
    predictions_made,
)

SETTINGS = Settings(region_score=0.3, embed_batch=2)
STOP = detection(score=0.9)
LAMP = detection("traffic light", score=0.4, bbox=(5.5, 6, 20, 8))
FAINT = detection("traffic light", score=0.2)


class FailingVectors(InMemoryVectors):
    """Fails once, after it has written the points."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = 1

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        await super().upsert(collection, points)
        if self.fails and points:
            self.fails -= 1
            raise StoreUnavailable("gone after the write")


class RacedVectors(InMemoryVectors):
    """Lets another process do its work once points are written."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []

    async def upsert(self, collection: str, points: Sequence[Point]) -> None:
        await super().upsert(collection, points)
        if self.meanwhile:
            await self.meanwhile.pop()()


class World:
    """The fakes around the step."""

    def __init__(
        self, vectors: InMemoryVectors | None = None, settings: Settings = SETTINGS
    ) -> None:
        self.embeddings = InMemoryEmbeddings()
        self.frames = InMemoryFrameStore()
        self.blobs = InMemoryBlobs()
        self.vectors = vectors or InMemoryVectors()
        self.outbox = InMemoryOutbox()
        self.embedder = MeanColour()
        self.settings = settings

    def captured(self, frame_id: str = "f1", content: bytes | None = None) -> FrameCaptured:
        """A frame whose image is in the blob store."""
        uri = self.blobs.put(content or png())
        frame = frame_captured(frame_id)
        return frame.model_copy(update={"image": frame.image.model_copy(update={"uri": uri})})

    def step(self, embedder: MeanColour) -> EmbedFrames:
        return EmbedFrames(
            PictureVectors(embedder, self.blobs, self.settings),
            self.embeddings,
            self.frames,
            self.vectors,
            outbox=self.outbox,
            settings=self.settings,
            clock=FakeClock(),
        )

    async def run(self, *events: Event) -> list[FrameEmbedded]:
        """What a step that has just started publishes for these events."""
        before = len(self.outbox.published)
        # As fp_miner does; it may be later, or earlier.
        await self.frames.record(
            [e for e in events if isinstance(e, FrameCaptured | PredictionsMade)]
        )
        await self.step(self.embedder).run(events)
        published = self.outbox.published[before:]
        return [event for event in published if isinstance(event, FrameEmbedded)]

    async def stored(self, alias: str) -> set[PointId]:
        size = {FRAME_VECTORS: 3, REGION_VECTORS: 4}[alias]
        hits = await self.vectors.nearest(alias, np.ones(size, np.float32), Where(), 1000)
        return {hit.point_id for hit in hits}

    async def record(self, frame_id: str = "f1") -> EmbeddingRecord:
        return (await self.embeddings.load([FrameId(frame_id)]))[FrameId(frame_id)]

    def points(self, made: PredictionsMade, *places: int) -> set[PointId]:
        ids = made.region_ids()
        return {region_point_id(self.embedder.model_id, ids[place]) for place in places}


def png(colour: tuple[int, int, int] = (200, 30, 40)) -> bytes:
    content = BytesIO()
    Image.new("RGB", (64, 64), colour).save(content, "PNG")
    return content.getvalue()


async def test_a_frame_and_its_regions_are_embedded_and_announced() -> None:
    world = World()
    made = predictions_made(STOP, LAMP, FAINT)

    [embedded] = await world.run(world.captured(), made)

    model = world.embedder.model_id
    assert await world.stored(FRAME_VECTORS) == {frame_point_id(model, embedded.frame_id)}
    assert await world.stored(REGION_VECTORS) == world.points(made, 0, 1)
    assert embedded.regions == {DETECTOR: tuple(made.region_ids()[:2])}
    assert embedded.predictions_revisions == {DETECTOR: 1}
    assert (await world.record()).embedded == {model: embedded}


async def test_a_regions_payload_says_what_searches_filter_by() -> None:
    world = World()
    made = predictions_made(LAMP)
    frame = world.captured()
    await world.run(frame, made)

    [hit] = await world.vectors.nearest(REGION_VECTORS, np.ones(4, np.float32), Where(), 5)

    assert dict(hit.payload) == {
        "model": "colour-mean",
        "frame_id": "f1",
        "split": "haystack",
        "drive_id": "d1",
        "vehicle_id": "v1",
        "captured_at": frame.captured_at.timestamp(),
        "region_id": made.region_ids()[0],
        "detector": "ods@1",
        "category": "traffic light",
        "score": 0.4,
        "x": 5.5,
        "y": 6.0,
        "width": 20.0,
        "height": 8.0,
    }


async def test_predictions_wait_for_their_frame() -> None:
    world = World()
    made = predictions_made(STOP)

    assert await world.run(made) == []
    assert await world.stored(REGION_VECTORS) == set()

    [embedded] = await world.run(world.captured())
    assert embedded.predictions_revisions == {DETECTOR: 1}
    assert await world.stored(REGION_VECTORS) == world.points(made, 0)


async def test_a_frame_without_predictions_has_its_global_vector() -> None:
    world = World()

    [embedded] = await world.run(world.captured())

    assert embedded.regions == {}
    assert await world.stored(FRAME_VECTORS) == {embedded.frame_point}


async def test_either_order_ends_the_same() -> None:
    ends = []
    for in_order in (True, False):
        world = World()
        events: list[Event] = [world.captured(), predictions_made(STOP, LAMP)]
        for event in events if in_order else reversed(events):
            last = await world.run(event)
        ends.append((last, await world.stored(REGION_VECTORS), await world.stored(FRAME_VECTORS)))

    assert ends[0] == ends[1]


async def test_a_replay_publishes_again_without_the_model() -> None:
    world = World()
    events = [world.captured(), predictions_made(STOP, LAMP)]
    first = await world.run(*events)
    seen = world.embedder.images_seen

    assert await world.run(*events) == first
    assert world.embedder.images_seen == seen == 1


async def test_a_second_detector_adds_its_regions_only() -> None:
    world = World()
    one, other = predictions_made(STOP, LAMP), predictions_made(STOP, version="2")
    await world.run(world.captured(), one)

    [embedded] = await world.run(other)

    assert world.embedder.boxes_seen == 3
    assert await world.stored(REGION_VECTORS) == world.points(one, 0, 1) | world.points(other, 0)
    assert embedded.predictions_revisions == {"ods@1": 1, "ods@2": 1}


async def test_a_newer_revision_drops_the_regions_that_it_lacks() -> None:
    world = World()
    old, new = predictions_made(STOP, LAMP), predictions_made(LAMP, revision=2)
    await world.run(world.captured(), old)

    [embedded] = await world.run(new)

    assert await world.stored(REGION_VECTORS) == world.points(new, 0) == world.points(old, 1)
    assert world.embedder.boxes_seen == 2
    assert embedded.regions == {DETECTOR: tuple(new.region_ids())}


async def test_vectors_of_newer_predictions_outlive_a_slower_process() -> None:
    vectors = RacedVectors()
    world = World(vectors)
    first, second, third = (predictions_made(STOP, version=version) for version in ("1", "2", "3"))
    await world.run(world.captured(), first)
    # Another process has taken the partition over, and has embedded what came later too.
    vectors.meanwhile = [lambda: world.step(MeanColour()).run([second, third])]

    await world.run(second)

    expected = [world.points(made, 0) for made in (first, second, third)]
    assert await world.stored(REGION_VECTORS) == set().union(*expected)


async def test_a_newer_revision_drops_regions_however_many_a_frame_has() -> None:
    world = World()
    old, new = predictions_made(STOP), predictions_made(LAMP, revision=2)
    await world.run(world.captured(), old, world.captured("f2"))
    many = [
        Point(PointId(f"{number:032x}"), np.ones(4, np.float32), {"frame_id": "f1"})
        for number in range(10_001)
    ]
    await world.vectors.upsert(REGION_VECTORS, many)

    await world.run(new)

    assert await world.stored(REGION_VECTORS) == world.points(new, 0)


async def test_an_older_revision_that_comes_late_changes_nothing() -> None:
    world = World()
    old, new = predictions_made(STOP, LAMP), predictions_made(LAMP, revision=2)
    first = await world.run(world.captured(), new)

    assert await world.run(old) == first
    assert await world.stored(REGION_VECTORS) == world.points(new, 0)


async def test_points_that_a_crash_left_unannounced_do_not_outlive_a_revision() -> None:
    world = World(FailingVectors())
    first, second = predictions_made(STOP), predictions_made(LAMP, revision=2)
    with pytest.raises(StoreUnavailable):
        await world.run(world.captured(), first)
    assert await world.stored(REGION_VECTORS) == world.points(first, 0)

    await world.run(world.captured(), second)

    assert await world.stored(REGION_VECTORS) == world.points(second, 0)


async def test_nothing_is_announced_before_its_vectors_are_durable() -> None:
    world = World(FailingVectors())

    with pytest.raises(StoreUnavailable):
        await world.run(world.captured(), predictions_made(STOP))

    assert world.outbox.published == []
    assert (await world.record()).embedded == {}


async def test_a_publication_that_failed_is_made_up_for_by_the_replay() -> None:
    world = World()
    events = [world.captured(), predictions_made(STOP)]
    world.outbox.failures.append(StoreUnavailable("broker gone"))
    with pytest.raises(StoreUnavailable):
        await world.run(*events)

    [embedded] = await world.run(*events)

    assert embedded.frame_id == "f1"
    assert world.embedder.images_seen == 1


@pytest.mark.parametrize("content", [b"not an image", png()[:60]])
async def test_a_frame_that_cannot_be_decoded_fails_alone(content: bytes) -> None:
    world = World()
    bad, good = world.captured("bad", content), world.captured("good")

    with pytest.raises(InvalidImage):
        await world.run(bad, good)

    assert [event.frame_id for event in await world.run(good)] == ["good"]
    with pytest.raises(InvalidImage):
        await world.run(bad)
    assert world.embedder.images_seen == 1


async def test_a_frame_whose_image_is_missing_is_invalid() -> None:
    world = World()
    frame = world.captured()
    world.blobs.contents.clear()

    with pytest.raises(MissingImage) as raised:
        await world.run(frame)

    assert isinstance(raised.value, Invalid)


async def test_more_frames_than_fit_one_pass_are_all_embedded() -> None:
    world = World()
    frames = [world.captured(f"f{number}") for number in range(5)]

    embedded = await world.run(*frames)

    assert [event.frame_id for event in embedded] == ["f0", "f1", "f2", "f3", "f4"]
    assert len(await world.stored(FRAME_VECTORS)) == 5


async def test_another_model_fills_collections_of_its_own_beside_the_live_ones() -> None:
    world = World()
    made = predictions_made(STOP)
    await world.run(world.captured(), made)
    live = world.points(made, 0)
    world.embedder = MeanColour("colour-other")

    [embedded] = await world.run(made)

    assert embedded.model == "colour-other"
    assert await world.stored(REGION_VECTORS) == live
    loaded = await world.vectors.load("regions-colour-other", world.points(made, 0))
    assert loaded.keys() == world.points(made, 0)


MISSES = SETTINGS.model_copy(
    update={"mine_misses": True, "event_version": 2, "reference_share": 0.99}
)


def object_points(world: World, truth: FrameAnnotated, *places: int) -> set[PointId]:
    ids = truth.annotation_ids()
    return {region_point_id(world.embedder.model_id, ids[place]) for place in places}


async def test_the_objects_of_a_reference_frame_are_embedded_where_misses_are_mined() -> None:
    world = World(settings=MISSES)
    crowd = annotation(bbox=(1, 1, 5, 5)).model_copy(update={"crowd": True})
    made, truth = predictions_made(STOP), frame_annotated(annotation(), crowd)

    [embedded] = await world.run(world.captured(), made, truth)

    assert await world.stored(REGION_VECTORS) == (
        world.points(made, 0) | object_points(world, truth, 0)
    )
    assert embedded.annotations == (truth.annotation_ids()[0],)
    assert embedded.ground_truth_revision == 1
    where = Where(equals={"detector": DETECTOR})
    hits = await world.vectors.nearest(REGION_VECTORS, np.ones(4, np.float32), where, 5)
    assert {hit.point_id for hit in hits} == world.points(made, 0)


@pytest.mark.parametrize(
    ("changed", "annotations"), [({"mine_misses": False}, None), ({"reference_share": 0.01}, ())]
)
async def test_no_other_objects_are_embedded(
    changed: dict[str, object], annotations: tuple[str, ...] | None
) -> None:
    world = World(settings=MISSES.model_copy(update=changed))

    embedded = await world.run(world.captured(), frame_annotated(annotation()))

    assert embedded[-1].annotations == annotations
    assert await world.stored(REGION_VECTORS) == set()


async def test_ground_truth_is_no_work_where_misses_are_not_mined() -> None:
    world = World()
    assert await world.run(frame_annotated(annotation())) == []
    assert await world.vectors.collections() == []
    assert await world.embeddings.load([FrameId("f1")]) == {}


async def test_a_correction_drops_the_vector_of_an_object_that_has_moved() -> None:
    world = World(settings=MISSES)
    made = predictions_made(STOP)
    old = frame_annotated(annotation())
    new = frame_annotated(annotation(bbox=(9, 9, 9, 9)), revision=2)
    await world.run(world.captured(), made, old)

    [embedded] = await world.run(new)

    assert await world.stored(REGION_VECTORS) == (
        world.points(made, 0) | object_points(world, new, 0)
    )
    assert embedded.ground_truth_revision == 2
    assert await world.run(old) == [embedded]


async def test_objects_and_detections_are_embedded_in_any_order() -> None:
    ends = []
    for turn in range(3):
        world = World(settings=MISSES)
        events: list[Event] = [
            world.captured(),
            predictions_made(STOP),
            frame_annotated(annotation()),
        ]
        for event in [*events[turn:], *events[:turn]]:
            last = await world.run(event)
        ends.append((last, await world.stored(REGION_VECTORS)))

    assert ends[0] == ends[1] == ends[2]


async def test_another_model_embeds_the_objects_too() -> None:
    world = World(settings=MISSES)
    truth = frame_annotated(annotation())
    await world.run(world.captured(), truth)
    await world.frames.record([truth])
    other = MeanColour("another")

    await world.step(other).embed([FrameId("f1")])

    record = await world.record()
    assert record.embedded[other.model_id].annotations == tuple(truth.annotation_ids())


async def test_an_event_of_another_kind_is_a_wrong_deployment() -> None:
    with pytest.raises(Fatal, match="NeedleFound"):
        await World().run(needle_found())


class Watching(MeanColour):
    """Needs few pixels, and keeps what it was shown."""

    decoded_side = 16

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[tuple[int, int], list[list[float]]]] = []

    def embed(self, images: Sequence[Image.Image], boxes: Sequence[Boxes]) -> list[FrameVectors]:
        self.shown += [(image.size, of.tolist()) for image, of in zip(images, boxes, strict=True)]
        return super().embed(images, boxes)


async def test_boxes_lie_where_they_were_on_a_frame_that_is_decoded_smaller() -> None:
    world = World()
    world.embedder = watching = Watching()
    content = BytesIO()
    Image.new("RGB", (64, 80)).save(content, "JPEG")

    await world.run(world.captured("f1", content.getvalue()), predictions_made(LAMP))

    assert watching.shown == [((16, 20), [[5.5 / 4, 6 / 4, 5, 2]])]


async def test_a_frame_that_memory_has_no_room_beside_is_embedded_alone() -> None:
    world = World()
    world.settings = SETTINGS.model_copy(update={"embed_queue_bytes": 1})
    frames = [world.captured(f"f{number}") for number in range(3)]

    assert len(await world.run(*frames)) == 3
    assert world.embedder.largest_pass == 1


async def test_a_failure_in_one_pass_leaves_nothing_of_the_next_behind() -> None:
    world = World(FailingVectors())
    frames = [world.captured(f"f{number}") for number in range(6)]

    with pytest.raises(StoreUnavailable):
        await world.run(*frames)

    assert len(await world.run(*frames)) == 6


async def test_what_is_redacted_is_not_embedded_nor_filled_into_another_model() -> None:
    world = World(settings=SETTINGS.model_copy(update={"redact_detector": "privacy"}))
    hidden = predictions_made(STOP).model_copy(update={"detector": "privacy"})
    made = predictions_made(STOP)

    await world.run(world.captured(), made, hidden)
    first = await world.stored(REGION_VECTORS)
    await world.embeddings.forget(world.embedder.model_id, [hidden.frame_id])
    await world.step(world.embedder).embed([hidden.frame_id])

    assert first == world.points(made, 0)
    assert await world.stored(REGION_VECTORS) == first
