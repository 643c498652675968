"""From one stage's event to what another makes of it, by the broker's clock."""

from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from services.contracts.codec import encode
from services.contracts.events import Event
from services.contracts.topics import topic_of
from services.fp_miner.service import MineNeedles
from services.runtime.kafka.records import Record
from services.runtime.kafka.runner import Runner
from services.runtime.observability import freshness
from services.runtime.settings import Settings
from services.runtime.step import Step
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.shortlists import InMemoryShortlistStore
from tests.unit.retriever.test_service import World, found

ALL_REFERENCE = Settings(reference_share=0.999)
ALL_HAYSTACK = Settings(reference_share=0.001)


class Asking:
    """Asks what a step may ask."""

    def __init__(self) -> None:
        self.times: list[float | None] = []

    async def run(self, events: Sequence[Event]) -> None:
        self.times += [freshness.taken_at(event) for event in events]


class Stage:
    """A service, to which the broker delivers late."""

    def __init__(self, step: Step, clock: FakeClock) -> None:
        self._runner = Runner("any", step, InMemoryOutbox(), Settings(), clock)
        self._clock = clock

    async def take(self, *events: Event, late_s: float) -> None:
        taken_at = self._clock.now().timestamp()
        self._clock.advance(late_s)
        records = [
            Record(topic_of(event).name, 0, offset, b"k", encode(event), taken_at)
            for offset, event in enumerate(events)
        ]
        await self._runner.process(records)


def measured(name: str, **labels: str) -> tuple[float, float]:
    """How many, and their sum in seconds."""
    found = [REGISTRY.get_sample_value(f"{name}_{of}", labels) for of in ("count", "sum")]
    return found[0] or 0.0, found[1] or 0.0


def grown(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
    return after[0] - before[0], after[1] - before[1]


def miner(settings: Settings, clock: FakeClock) -> tuple[Stage, InMemoryShortlistStore]:
    shortlists = InMemoryShortlistStore(clock)
    step = MineNeedles(
        frames=InMemoryFrameStore(),
        matches=InMemoryMatchStore(),
        shortlists=shortlists,
        outbox=InMemoryOutbox(),
        settings=settings,
        clock=clock,
    )
    return Stage(step, clock), shortlists


async def test_a_step_learns_when_the_broker_took_the_events_in_hand() -> None:
    clock, asking = FakeClock(), Asking()
    taken_at, frame = clock.now().timestamp(), samples.frame_captured()
    await Stage(asking, clock).take(frame, late_s=2)
    assert asking.times == [taken_at]
    assert freshness.taken_at(frame) is None


def test_clocks_that_differ_make_nobody_younger_than_new() -> None:
    clock = FakeClock()
    assert freshness.age_s(clock.now().timestamp() + 5, clock.now()) == 0


async def test_a_needle_counts_from_the_ground_truth_that_brought_it() -> None:
    labels = {"stage": "ground_truth_to_needle"}
    before = measured("gazeloop_freshness_seconds", **labels)
    clock = FakeClock()
    stage, _ = miner(ALL_REFERENCE, clock)
    predictions = samples.predictions_made(samples.detection())
    await stage.take(samples.frame_captured(), predictions, late_s=60)
    await stage.take(samples.frame_annotated(), late_s=3)
    after = measured("gazeloop_freshness_seconds", **labels)
    assert grown(before, after) == pytest.approx((1, 3))


async def test_a_needle_that_waited_for_predictions_says_nothing() -> None:
    labels = {"stage": "ground_truth_to_needle"}
    before = measured("gazeloop_freshness_seconds", **labels)
    clock = FakeClock()
    stage, _ = miner(ALL_REFERENCE, clock)
    await stage.take(samples.frame_captured(), samples.frame_annotated(), late_s=60)
    await stage.take(samples.predictions_made(samples.detection()), late_s=3)
    assert measured("gazeloop_freshness_seconds", **labels) == before


async def test_a_verdict_counts_from_the_frames_coming_on_a_shortlist() -> None:
    before = measured("gazeloop_shortlist_to_verdict_seconds")
    clock = FakeClock()
    stage, shortlists = miner(ALL_HAYSTACK, clock)
    predictions = samples.predictions_made(samples.detection())
    await stage.take(samples.frame_captured(), predictions, samples.frame_annotated(), late_s=1)
    assert measured("gazeloop_shortlist_to_verdict_seconds") == before
    listed = samples.shortlist_published(samples.needle_found("needle"), "f1")
    await shortlists.record([listed])
    clock.advance(3600)
    corrected = samples.frame_annotated(revision=2)
    verdict = corrected.model_copy(update={"annotation_source": "reannotation"})
    await stage.take(verdict, late_s=1)
    after = measured("gazeloop_shortlist_to_verdict_seconds")
    assert grown(before, after) == pytest.approx((1, 3601))


async def test_a_shortlist_counts_from_its_needles_vector_where_that_comes_later() -> None:
    labels = {"stage": "needle_to_shortlist"}
    before = measured("gazeloop_freshness_seconds", **labels)
    world = World()
    stage = Stage(world.step, world.clock)
    await world.embed("hay", 0.1)
    await stage.take(samples.needle_found("needle"), late_s=1)
    embedded = await world.embed("needle", 0.0, split="reference", drive="d1")
    await stage.take(embedded, late_s=2)
    await world.step.settle()
    assert world.shortlists() == [["hay"]]
    after = measured("gazeloop_freshness_seconds", **labels)
    assert grown(before, after) == pytest.approx((1, 2))


async def test_a_shortlist_counts_from_its_needle_where_the_vector_was_there() -> None:
    labels = {"stage": "needle_to_shortlist"}
    before = measured("gazeloop_freshness_seconds", **labels)
    world = World()
    stage = Stage(world.step, world.clock)
    embedded = [await world.embed("hay", 0.1)]
    embedded.append(await world.embed("needle", 0.0, split="reference", drive="d1"))
    await stage.take(*embedded, late_s=60)
    await stage.take(samples.needle_found("needle"), late_s=3)
    await world.step.settle()
    after = measured("gazeloop_freshness_seconds", **labels)
    assert grown(before, after) == pytest.approx((1, 3))


async def test_a_needle_that_nothing_is_like_says_nothing_when_something_comes_one_day() -> None:
    labels = {"stage": "needle_to_shortlist"}
    before = measured("gazeloop_freshness_seconds", **labels)
    world = World()
    stage = Stage(world.step, world.clock)
    await stage.take(await found(world), late_s=1)
    await world.step.settle()
    await stage.take(await world.embed("hay", 0.1), late_s=86400)
    await world.step.settle()
    assert world.shortlists() == [["hay"]]
    assert measured("gazeloop_freshness_seconds", **labels) == before
