import numpy as np
import pytest

from services.contracts import identity
from services.contracts.errors import Fatal, StoreUnavailable
from services.contracts.events import (
    Event,
    FrameAnnotated,
    NeedleFound,
    PredictionsMade,
    ShortlistPublished,
)
from services.contracts.identity import Box, FrameId
from services.retriever.service import ExtendShortlists
from services.runtime.settings import Settings
from services.runtime.stores.vectors import REGIONS, Point, collection_of
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.vectors import InMemoryVectors

COLLECTION = collection_of(REGIONS, samples.MODEL)
NEEDLE_BOX: Box = samples.BOX


class World:
    """A retriever over frames of one region each, which a test places in two dimensions."""

    def __init__(self, **settings: int) -> None:
        self.frames = InMemoryFrameStore()
        self.needles = InMemoryNeedleStore()
        self.outbox = InMemoryOutbox()
        self.vectors = InMemoryVectors()
        self.step = ExtendShortlists(
            frames=self.frames,
            matches=InMemoryMatchStore(),
            needles=self.needles,
            vectors=self.vectors,
            outbox=self.outbox,
            settings=Settings(**settings),  # type: ignore[arg-type]  # pydantic checks
            clock=FakeClock(),
        )

    async def embed(
        self, frame_id: str, angle: float, *, split: str = "haystack", drive: str = ""
    ) -> Event:
        drive = drive or f"drive-of-{frame_id}"
        predictions = samples.predictions_made(samples.detection(), frame_id=frame_id)
        embedded = samples.frame_embedded(predictions)
        captured = samples.frame_captured(frame_id, drive)
        await self.frames.record([captured, predictions, embedded])
        await self.vectors.ensure(COLLECTION, 2, keywords=(), numbers=())
        await self.vectors.alias(REGIONS, COLLECTION)
        await self.vectors.upsert(COLLECTION, [_point(predictions, angle, split, drive)])
        return embedded

    def shortlists(self) -> list[list[str]]:
        return [
            [candidate.frame_id for candidate in each.candidates]
            for each in self.outbox.published
            if isinstance(each, ShortlistPublished)
        ]


def _point(predictions: PredictionsMade, angle: float, split: str, drive: str) -> Point:
    (region,) = predictions.region_ids()
    x, y, width, height = NEEDLE_BOX
    return Point(
        identity.region_point_id(samples.MODEL, region),
        np.array([np.cos(angle), np.sin(angle)], np.float32),
        {
            "frame_id": predictions.frame_id,
            "region_id": region,
            "detector": predictions.detector_id,
            "category": samples.STOP_SIGN,
            "score": 0.9,
            "split": split,
            "drive_id": drive,
            "x": x,
            "y": y,
            "width": width,
            "height": height,
        },
    )


async def found(world: World, frame_id: str = "needle", angle: float = 0.0) -> NeedleFound:
    await world.embed(frame_id, angle, split="reference", drive="d1")
    return samples.needle_found(frame_id)


async def test_the_haystack_regions_nearest_to_the_needle_come_first() -> None:
    world = World()
    needle = await found(world)
    for name, angle in (("far", 1.0), ("near", 0.1), ("middle", 0.5)):
        await world.embed(name, angle)
    await world.step.run([needle])
    assert world.shortlists() == [["near", "middle", "far"]]


async def test_a_region_embedded_later_is_added_to_the_standing_shortlist() -> None:
    world = World()
    needle = await found(world)
    await world.embed("first", 0.5)
    await world.step.run([needle])
    await world.step.run([await world.embed("second", 0.1)])
    assert world.shortlists() == [["first"], ["second", "first"]]


async def test_a_needle_that_comes_before_its_vector_waits_for_it() -> None:
    world = World()
    await world.embed("hay", 0.1)
    await world.step.run([samples.needle_found("needle")])
    assert world.shortlists() == []
    await world.step.run([await world.embed("needle", 0.0, split="reference", drive="d1")])
    assert world.shortlists() == [["hay"]]


async def test_a_shortlist_that_does_not_change_is_not_published_again() -> None:
    world = World()
    needle = await found(world)
    hay = await world.embed("hay", 0.1)
    for _ in range(3):
        await world.step.run([needle, hay])
    assert world.shortlists() == [["hay"]]


async def test_a_shortlist_that_the_broker_did_not_acknowledge_is_published_by_the_replay() -> None:
    world = World()
    needle = await found(world)
    await world.embed("hay", 0.1)
    world.outbox.failures.append(StoreUnavailable("the broker is away"))
    with pytest.raises(StoreUnavailable):
        await world.step.run([needle])
    await world.step.run([needle])
    assert world.shortlists() == [["hay"]]


async def test_a_retracted_needle_has_its_shortlist_withdrawn() -> None:
    world = World()
    needle = await found(world)
    hay = await world.embed("hay", 0.1)
    await world.step.run([needle])
    await world.step.run([samples.needle_retracted(needle, revision=2)])
    await world.step.run([hay])
    assert world.shortlists() == [["hay"], []]


async def test_shortlists_are_thinned_per_drive_and_cut_to_size() -> None:
    world = World(shortlist_per_drive=1, shortlist_size=2)
    needle = await found(world)
    for number, drive in enumerate(("a", "a", "b", "c")):
        await world.embed(f"h{number}", 0.1 * (number + 1), drive=drive)
    await world.step.run([needle])
    assert world.shortlists() == [["h0", "h2"]]


async def test_reannotated_frames_are_not_asked_for_again() -> None:
    world = World()
    needle = await found(world)
    await world.embed("done", 0.1)
    await world.embed("open", 0.2)
    await world.frames.record(
        [
            FrameAnnotated(
                frame_id=FrameId("done"),
                revision=2,
                annotation_source="reannotation",
                annotations=(),
            )
        ]
    )
    await world.step.run([needle])
    assert world.shortlists() == [["open"]]


async def test_a_frame_stays_on_its_shortlist_while_it_is_reannotated() -> None:
    world = World()
    needle = await found(world)
    hay = await world.embed("hay", 0.1)
    await world.step.run([needle])
    await world.frames.record(
        [
            FrameAnnotated(
                frame_id=FrameId("hay"),
                revision=2,
                annotation_source="reannotation",
                annotations=(),
            )
        ]
    )
    await world.step.run([hay])
    assert world.shortlists() == [["hay"]]


async def test_an_event_of_another_service_stops_the_retriever() -> None:
    with pytest.raises(Fatal):
        await World().step.run([samples.frame_captured()])
