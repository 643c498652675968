"""The steps together, on fakes that obey the real parts' laws: order and repetition do not show."""

import io
import random
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from PIL import Image as Picture

from services.contracts.events import (
    Candidate,
    Event,
    FrameAnnotated,
    FrameCaptured,
    FrameMatched,
    Image,
    NeedleFound,
    ShortlistPublished,
    Split,
)
from services.contracts.flow import READS
from services.contracts.identity import FrameId, NeedleId
from services.embedder import service as embedder
from services.fp_miner import service as fp_miner
from services.retriever import service as retriever
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.budget_reports import InMemoryBudgetReports
from tests.fakes.bus import LocalBus, Order, as_published, thrice_and_shuffled
from tests.fakes.clock import FakeClock
from tests.fakes.embedder import WidthEmbedder
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
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
    frames: InMemoryFrameStore = field(default_factory=InMemoryFrameStore)
    matches: InMemoryMatchStore = field(default_factory=InMemoryMatchStore)
    needles: InMemoryNeedleStore = field(default_factory=InMemoryNeedleStore)
    vectors: InMemoryVectors = field(default_factory=InMemoryVectors)
    shortlists: InMemoryShortlistStore = field(default_factory=InMemoryShortlistStore)
    budgets: InMemoryBudgetReports = field(default_factory=InMemoryBudgetReports)

    def __post_init__(self) -> None:
        embed = embedder.EmbedFrames(
            WidthEmbedder(),
            self.frames,
            self.blobs,
            self.vectors,
            outbox=self.bus,
            settings=self.settings,
            clock=FakeClock(),
        )
        mine = fp_miner.MineNeedles(
            frames=self.frames,
            matches=self.matches,
            shortlists=self.shortlists,
            outbox=self.bus,
            settings=self.settings,
            clock=FakeClock(),
        )
        self.retriever = retriever.ExtendShortlists(
            frames=self.frames,
            matches=self.matches,
            needles=self.needles,
            vectors=self.vectors,
            budgets=self.budgets,
            outbox=self.bus,
            settings=self.settings,
            clock=FakeClock(),
        )
        self.bus.subscribe(embed, READS["embedder"])
        self.bus.subscribe(mine, READS["fp_miner"])
        self.bus.subscribe(self.retriever, READS["retriever"])

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
        return [each.frame_id for candidates in shortlists for each in candidates]

    async def standing(self) -> dict[str, FrameMatched]:
        return {match.key(): match async for match in self.matches.scan()}


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
    haystack = {m.frame_id for m in (await world.standing()).values() if m.split is Split.HAYSTACK}
    assert len(listed) == int(len(haystack) * SETTINGS.shortlist_budget)
    assert len(set(listed)) == len(listed)
    assert all(int(frame[1:]) % 3 == 0 for frame in listed)


async def test_a_shortlisted_frame_moves_from_h_minus_s_to_s() -> None:
    world = await settled()
    listed = await world.listed()
    for match in (await world.standing()).values():
        assert match.shortlisted == (match.frame_id in listed)
        assert not (match.shortlisted and match.split is Split.REFERENCE)


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_and_three_deliveries_of_all_end_in_the_same_state(seed: int) -> None:
    plain, shaken = await settled(), await settled(thrice_and_shuffled(seed))
    assert await shaken.active_shortlists() == await plain.active_shortlists()

    def without_revision(matches: dict[str, FrameMatched]) -> dict[str, FrameMatched]:
        return {key: each.model_copy(update={"revision": 1}) for key, each in matches.items()}

    assert without_revision(await shaken.standing()) == without_revision(await plain.standing())


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_the_order_budgets_of_a_day_are_spent_on_the_same_frames(seed: int) -> None:
    spare = SETTINGS.model_copy(update={"shortlist_budget": 0.9, "budget_per_day": 3})
    plain = await settled(settings=spare)
    shaken = await settled(thrice_and_shuffled(seed), settings=spare)
    assert len(await plain.listed()) == spare.budget_per_day
    assert await shaken.active_shortlists() == await plain.active_shortlists()
    assert await shaken.budgets.all() == await plain.budgets.all()
    (report,) = await plain.budgets.all()
    assert {each.budget.value for each in report.frames} == {"day"}


async def test_a_correction_clears_the_needle_and_withdraws_its_shortlist() -> None:
    before = await settled()
    listed = await before.active_shortlists()
    found = [each for each in before.bus.log if isinstance(each, NeedleFound)]
    needle = next(each for each in found if each.needle_id in listed)
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
        each
        for each in after.bus.log
        if isinstance(each, ShortlistPublished) and each.needle_id == needle.needle_id
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
