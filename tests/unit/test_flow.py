"""The steps together, on fakes that obey the real parts' laws: order and repetition do not show."""

import asyncio
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image as Picture

from services.contracts.codec import EventVersion
from services.contracts.events import (
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    Image,
    PredictionsMade,
    Split,
)
from services.contracts.flow import READS
from services.contracts.identity import FrameId, NeedleId
from services.contracts.matches import CategoryMatched, FrameMatched, categories_of
from services.contracts.needles import Candidate, NeedleFound, NeedleRetracted, ShortlistPublished
from services.contracts.topics import topic_of
from services.domain.ports.vectors import FRAME_VECTORS, collection_of
from services.embedder import service as embedder
from services.embedder.picture_vectors import PictureVectors
from services.fp_miner import service as fp_miner
from services.retriever import service as retriever
from services.retriever.sources import RetrieverStores
from services.runtime.settings import Settings
from services.runtime.step import Step
from tests import samples
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.budget_reports import InMemoryBudgetReports
from tests.fakes.bus import LocalBus, Order, as_published, thrice_and_shuffled
from tests.fakes.clock import FakeClock
from tests.fakes.embedder import WidthEmbedder
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.epochs import InMemoryEpochStore
from tests.fakes.failure_models import InMemoryFailureModelStore
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.known_places import InMemoryKnownPlaces
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.fakes.openings import InMemoryOpenings
from tests.fakes.shortlists import InMemoryShortlistStore
from tests.fakes.vectors import InMemoryVectors

SETTINGS = Settings(reference_share=0.5, shortlist_size=3, batch_size=8)
SIGN_WIDTH, BILLBOARD_WIDTH = 20.0, 60.0


@dataclass
class World:
    """All services but ingest and evaluator, and what they know."""

    bus: LocalBus
    settings: Settings = SETTINGS
    blobs: InMemoryBlobs = field(default_factory=InMemoryBlobs)
    embeddings: InMemoryEmbeddings = field(default_factory=InMemoryEmbeddings)
    frames: InMemoryFrameStore = field(default_factory=InMemoryFrameStore)
    matches: InMemoryMatchStore = field(default_factory=InMemoryMatchStore)
    needles: InMemoryNeedleStore = field(default_factory=InMemoryNeedleStore)
    epochs: InMemoryEpochStore = field(default_factory=InMemoryEpochStore)
    vectors: InMemoryVectors = field(default_factory=InMemoryVectors)
    models: InMemoryFailureModelStore = field(default_factory=InMemoryFailureModelStore)
    shortlists: InMemoryShortlistStore = field(default_factory=InMemoryShortlistStore)
    budgets: InMemoryBudgetReports = field(default_factory=InMemoryBudgetReports)

    def __post_init__(self) -> None:
        self.retriever = self.new_retriever()
        for service, step in self.new_steps().items():
            self.bus.subscribe(step, READS[service])
        # All that a round delivers is one epoch: the order inside of it must not matter.
        self.bus.subscribe(self.retriever, READS["retriever"], Settings().epoch_events)

    def new_steps(self) -> dict[str, Step]:
        """Processes of the embedder and fp_miner that know what the stores know."""
        return {
            "embedder": embedder.EmbedFrames(
                PictureVectors(WidthEmbedder(), self.blobs, self.settings),
                self.embeddings,
                self.frames,
                self.vectors,
                outbox=self.bus,
                settings=self.settings,
                clock=FakeClock(),
            ),
            "fp_miner": fp_miner.MineNeedles(
                frames=self.frames,
                matches=self.matches,
                shortlists=self.shortlists,
                outbox=self.bus,
                settings=self.settings,
                clock=FakeClock(),
            ),
        }

    def new_retriever(self) -> retriever.PublishShortlists:
        """A process of the retriever that knows what the stores know."""
        return retriever.PublishShortlists(
            RetrieverStores(
                frames=self.frames,
                matches=self.matches,
                needles=self.needles,
                vectors=self.vectors,
                epochs=self.epochs,
                models=self.models,
                openings=InMemoryOpenings(),
                known_places=InMemoryKnownPlaces(),
                budgets=self.budgets,
            ),
            outbox=self.bus,
            settings=self.settings,
            clock=FakeClock(),
        )

    async def quiet(self) -> None:
        """Deliver until nobody has anything to say, and nothing is put off."""
        await self.bus.drain()
        while await self.retriever.settle():
            await self.bus.drain()

    async def active_shortlists(self) -> dict[NeedleId, tuple[Candidate, ...]]:
        return {
            record.needle_id: record.shortlist.candidates
            async for record in self.needles.scan()
            if record.active and record.shortlist and record.shortlist.candidates
        }

    async def listed(self) -> list[FrameId]:
        shortlists = (await self.active_shortlists()).values()
        return [candidate.frame_id for candidates in shortlists for candidate in candidates]

    async def current_matches(self) -> dict[tuple[str, ...], CategoryMatched]:
        return {
            (match.detector, match.category, match.frame_id): match
            async for match in self.matches.scan()
        }


def picture() -> bytes:
    content = io.BytesIO()
    Picture.new("RGB", (320, 240), (90, 120, 150)).save(content, "JPEG")
    return content.getvalue()


def captured(number: int, uri: str) -> FrameCaptured:
    plain = samples.frame_captured(f"f{number:03d}", f"drive-{number // 5}")
    image = Image(**{**plain.image.model_dump(), "uri": uri})
    later = plain.captured_at + timedelta(seconds=2 * number)
    return plain.model_copy(update={"image": image, "captured_at": later})


def survey(blobs: InMemoryBlobs, frames: int = 60) -> list[Event]:
    """Each frame has a true sign; on every third one the detector takes a billboard for one."""
    rng = random.Random(7)
    uri = blobs.put(picture())
    events: list[Event] = []
    for number in range(frames):
        frame = captured(number, uri)
        sign = (10.0, 20.0, SIGN_WIDTH + rng.random(), 20.0)
        board = (150.0, 20.0, BILLBOARD_WIDTH + rng.random(), 60.0)
        detections = [samples.detection(score=round(rng.uniform(0.6, 0.9), 3), bbox=sign)]
        if number % 3 == 0:
            detections.append(samples.detection(score=round(rng.uniform(0.6, 0.9), 3), bbox=board))
        events.append(frame)
        events.append(samples.predictions_made(*detections, frame_id=frame.frame_id))
        truth = samples.annotation(bbox=sign)
        events.append(samples.frame_annotated(truth, frame_id=frame.frame_id))
    return events


async def settled(
    order: Order = as_published, *more: Event, settings: Settings = SETTINGS
) -> World:
    world = World(LocalBus(order), settings)
    await world.bus.publish(survey(world.blobs))
    await world.quiet()
    if more:
        await world.bus.publish(more)
        await world.quiet()
    return world


async def test_the_frames_that_fail_alike_are_shortlisted_once_each() -> None:
    world = await settled()
    listed = await world.listed()
    haystack = {
        m.frame_id for m in (await world.current_matches()).values() if m.split is Split.HAYSTACK
    }
    assert len(listed) == int(len(haystack) * SETTINGS.shortlist_budget)
    assert len(set(listed)) == len(listed)
    assert all(int(frame[1:]) % 3 == 0 for frame in listed)


async def test_a_shortlisted_frame_moves_from_h_minus_s_to_s() -> None:
    world = await settled()
    listed = await world.listed()
    for match in (await world.current_matches()).values():
        assert match.shortlisted == (match.frame_id in listed)
        assert not (match.shortlisted and match.split is Split.REFERENCE)


def without_revision(matches: Mapping[Any, CategoryMatched]) -> dict[Any, CategoryMatched]:
    return {key: replace(match, revision=1) for key, match in matches.items()}


@pytest.mark.parametrize("versions", [(1,), (1, 2), (2, 2, 1)])
async def test_during_a_rollout_both_versions_end_in_the_same_state(
    versions: Sequence[EventVersion],
) -> None:
    plain = await settled()
    mixed = World(LocalBus(thrice_and_shuffled(1), versions=versions))
    await mixed.bus.publish(survey(mixed.blobs))
    await mixed.quiet()
    assert needles_of(mixed) == needles_of(plain)
    assert await mixed.active_shortlists() == await plain.active_shortlists()
    assert without_revision(await mixed.current_matches()) == without_revision(
        await plain.current_matches()
    )


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_and_three_deliveries_of_all_end_in_the_same_state(seed: int) -> None:
    plain, shaken = await settled(), await settled(thrice_and_shuffled(seed))
    assert await shaken.active_shortlists() == await plain.active_shortlists()
    assert without_revision(await shaken.current_matches()) == without_revision(
        await plain.current_matches()
    )


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_the_order_budgets_of_a_day_are_spent_on_the_same_frames(seed: int) -> None:
    spare = SETTINGS.model_copy(update={"shortlist_budget": 0.9, "budget_per_day": 3})
    plain = await settled(settings=spare)
    shaken = await settled(thrice_and_shuffled(seed), settings=spare)
    assert len(await plain.listed()) == spare.budget_per_day
    assert await shaken.active_shortlists() == await plain.active_shortlists()
    assert await shaken.budgets.all() == await plain.budgets.all()
    (report,) = await plain.budgets.all()
    assert {frame.budget.value for frame in report.frames} == {"day"}


async def test_a_correction_clears_the_needle_and_withdraws_its_shortlist() -> None:
    before = await settled()
    listed = await before.active_shortlists()
    found = [event for event in before.bus.log if isinstance(event, NeedleFound)]
    needle = next(event for event in found if event.needle_id in listed)
    sign = (await before.frames.load([needle.frame_id]))[needle.frame_id].ground_truth
    assert sign is not None
    corrected = sign.model_copy(
        update={
            "revision": 2,
            "annotations": (*sign.annotations, samples.annotation(bbox=needle.bbox)),
        }
    )
    assert isinstance(corrected, FrameAnnotated)

    after = await settled(as_published, corrected)

    assert needle.needle_id not in await after.active_shortlists()
    published = [
        event
        for event in after.bus.log
        if isinstance(event, ShortlistPublished) and event.needle_id == needle.needle_id
    ]
    assert published[-1].candidates == ()


async def test_what_a_crash_left_unpublished_is_published_by_the_replay() -> None:
    plain = await settled()
    world = World(LocalBus())
    events = survey(world.blobs)
    await world.bus.publish(events)
    await world.quiet()
    world.bus.log.clear()
    await world.bus.publish(events)
    await world.quiet()
    found = {e.needle_id for e in world.bus.log if isinstance(e, NeedleFound)}
    assert found == {e.needle_id for e in plain.bus.log if isinstance(e, NeedleFound)}


class StoredFirstBus(LocalBus):
    """Fails where an event is published that its store does not hold yet."""

    world: World

    async def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            assert await is_stored(self.world, event), f"{type(event).__name__} is not stored yet"
        await super().publish(events)


async def is_stored(world: World, event: Event) -> bool:
    """Whether a process that dies now leaves enough behind to publish this event again."""
    match event:
        case FrameMatched():
            stored = await world.matches.load([event.frame_id])
            return all(match in stored for match in categories_of([event]))
        case NeedleFound() | NeedleRetracted():
            pair = event.frame_id, event.detector
            known = await world.matches.known([pair])
            return event.needle_id in known[pair][event.category]
        case FrameEmbedded():
            record = (await world.embeddings.load([event.frame_id]))[event.frame_id]
            points = await world.vectors.load(
                collection_of(FRAME_VECTORS, event.model), [event.frame_point]
            )
            return event in record.embedded.values() and event.frame_point in points
        case ShortlistPublished():
            records = await world.needles.load([event.needle_id])
            return records[event.needle_id].shortlist == event
        case _:
            return True  # it came from outside: ingest keeps it


async def test_every_step_stores_before_it_publishes() -> None:
    bus = StoredFirstBus()
    world = bus.world = World(bus)

    await world.bus.publish(survey(world.blobs))
    await world.quiet()

    published = {type(event) for event in world.bus.log}
    assert {FrameMatched, NeedleFound, FrameEmbedded, ShortlistPublished} <= published


class UnacknowledgedBus(LocalBus):
    """A broker that acknowledges what steps publish only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledges = asyncio.Event()
        self.waits = asyncio.Event()

    async def publish(self, events: Sequence[Event]) -> None:
        if events:
            self.waits.set()
            await self.acknowledges.wait()
        await super().publish(events)


@pytest.mark.parametrize("service", ["embedder", "fp_miner", "retriever"])
async def test_a_step_does_not_return_before_its_events_are_acknowledged(service: str) -> None:
    world = await settled()
    topics = {topic.name for topic in READS[service]}
    again = [event for event in world.bus.log if topic_of(event).name in topics]
    bus = world.bus = UnacknowledgedBus()
    # So that the retriever has shortlists to publish again.
    world.needles, world.epochs = InMemoryNeedleStore(), InMemoryEpochStore()

    async def process() -> None:
        if service == "retriever":
            step = world.new_retriever()
            await step.run(again)
            while await step.settle():
                pass
        else:
            await world.new_steps()[service].run(again)

    running = asyncio.create_task(process())
    publishing = asyncio.create_task(bus.waits.wait())
    await asyncio.wait({running, publishing}, return_when=asyncio.FIRST_COMPLETED)

    assert bus.waits.is_set(), "a replay published nothing"
    for _ in range(100):  # turns of the loop in which a step that does not wait would return
        await asyncio.sleep(0)
    assert not running.done()
    bus.acknowledges.set()
    await running


def needles_of(world: World) -> set[NeedleId]:
    """The needles that stand, by the events alone."""
    latest: dict[NeedleId, NeedleFound | NeedleRetracted] = {}
    for event in world.bus.log:
        if isinstance(event, NeedleFound | NeedleRetracted):
            before = latest.get(event.needle_id)
            if before is None or event.revision >= before.revision:
                latest[event.needle_id] = event
    return {needle for needle, event in latest.items() if isinstance(event, NeedleFound)}


@pytest.mark.parametrize("part", [FrameAnnotated, PredictionsMade])
@pytest.mark.parametrize("order", [as_published, thrice_and_shuffled(3)])
async def test_a_frame_of_which_something_was_refused_does_not_count_until_it_is_cured(
    part: type[FrameAnnotated | PredictionsMade], order: Order
) -> None:
    sound = await settled()
    everything = {match.frame_id for match in (await sound.current_matches()).values()}
    world = World(LocalBus(order))
    events = survey(world.blobs)
    partial = [
        event.model_copy(update={"complete": False})
        if isinstance(event, part) and int(event.frame_id[1:]) % 2
        else event
        for event in events
    ]
    await world.bus.publish(partial)
    await world.quiet()

    counted = {match.frame_id for match in (await world.current_matches()).values()}
    assert counted == {frame for frame in everything if not int(frame[1:]) % 2}
    assert needles_of(world) < needles_of(sound)

    cures = [
        before.model_copy(update={"revision": 2})
        for before, after in zip(events, partial, strict=True)
        if before != after
    ]
    await world.bus.publish(cures)
    await world.quiet()

    assert needles_of(world) == needles_of(sound)
    assert {match.frame_id for match in (await world.current_matches()).values()} == everything


async def test_a_later_revision_of_which_something_was_refused_takes_needles_back() -> None:
    world = await settled()
    before = needles_of(world)
    events = [event for event in world.bus.log if isinstance(event, FrameAnnotated)]
    later = [event.model_copy(update={"revision": 2, "complete": False}) for event in events]
    await world.bus.publish(later)
    await world.quiet()

    assert before
    assert needles_of(world) == set()
    assert await world.active_shortlists() == {}
    assert all(not match.regions for match in (await world.current_matches()).values())


@pytest.mark.parametrize("order", [as_published, thrice_and_shuffled(5)])
async def test_of_frames_with_one_picture_one_counts(order: Order) -> None:
    world = World(LocalBus(order))
    events = survey(world.blobs)
    frames = [frame for frame in events if isinstance(frame, FrameCaptured)]
    first = frames[0].image
    shared = {frame.frame_id for frame in frames[:20]}
    await world.bus.publish(
        [
            event.model_copy(update={"image": first})
            if isinstance(event, FrameCaptured) and event.frame_id in shared
            else event
            for event in events
        ]
    )
    await world.quiet()

    counted = {
        match.frame_id for match in (await world.current_matches()).values() if match.regions
    }
    assert len(counted & shared) == 1
    assert counted - shared == {frame.frame_id for frame in frames[20:]}
    assert len(shared.intersection(await world.listed())) <= 1


async def test_where_a_setting_says_so_copies_count() -> None:
    world = World(LocalBus(), SETTINGS.model_copy(update={"count_copies": True}))
    events = survey(world.blobs)
    (first, *_) = (event for event in events if isinstance(event, FrameCaptured))
    same = [
        event.model_copy(update={"image": first.image})
        if isinstance(event, FrameCaptured)
        else event
        for event in events
    ]
    await world.bus.publish(same)
    await world.quiet()
    assert needles_of(world) == needles_of(await settled())
    assert await world.listed()
