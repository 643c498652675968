"""Late and repeated events of an erased frame do nothing, whenever the tombstone comes."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from services.contracts.erasures import FrameErased, MatchesErased
from services.contracts.errors import MissingImage
from services.contracts.events import Event, FrameCaptured, Image
from services.contracts.identity import FrameHash, FrameId, frame_hash
from services.contracts.needles import ShortlistPublished
from services.domain.ports.erasure import ErasureRequest
from services.runtime.erased_frames import ErasedFramesLeftOut
from services.runtime.observability import metrics
from tests import samples
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.tombstones import InMemoryTombstones
from tests.fakes.traces import InMemoryTraces

GONE, KEPT = FrameId("gone"), FrameId("kept")
REQUEST = ErasureRequest("ada", "request 17", datetime(2026, 5, 4, tzinfo=UTC), ("service",))


@dataclass
class Recording:
    """A step that stores the frames of its events, and does something else before or after."""

    stored: InMemoryTraces
    meanwhile: Callable[[], Awaitable[None]] | None = None
    fails_on: FrameId | None = None
    ran: list[Event] = field(default_factory=list)

    async def run(self, events: Sequence[Event]) -> None:
        if self.meanwhile is not None:
            await self.meanwhile()
        named = [event.frame_id for event in events if isinstance(event, FrameCaptured)]
        if self.fails_on in named:
            raise MissingImage("there is no image")
        self.ran += events
        self.stored.held += named


@dataclass
class Bench:
    tombstones: InMemoryTombstones = field(default_factory=InMemoryTombstones)
    stored: InMemoryTraces = field(default_factory=lambda: InMemoryTraces("stored"))
    outbox: InMemoryOutbox = field(default_factory=InMemoryOutbox)
    forgotten: set[FrameHash] = field(default_factory=set)
    dropped: list[Image] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.step = Recording(self.stored)
        self.served = ErasedFramesLeftOut(
            "service",
            self.step,
            self.tombstones,
            self.outbox,
            traces=[self.stored],
            forget=self._forget,
            drop_images=self._drop,
            forwards=True,
        )

    async def erase(self) -> None:
        await self.tombstones.add([GONE], REQUEST)

    async def _forget(self, frames: AbstractSet[FrameHash]) -> None:
        self.forgotten |= frames

    async def _drop(self, images: Collection[Image]) -> None:
        self.dropped += images


def _erased() -> FrameErased:
    return FrameErased.of(GONE, reason="request 17", requested_by="ada")


async def test_an_event_of_an_erased_frame_is_dropped_counted_and_its_neighbour_taken() -> None:
    bench = Bench()
    await bench.erase()
    counter = metrics.EVENTS_OF_ERASED_FRAMES.labels("service")
    before = counter._value.get()  # there is no other way to read it
    gone, kept = samples.frame_captured(GONE), samples.frame_captured(KEPT)
    await bench.served.run([gone, kept])
    assert bench.step.ran == [kept]
    assert counter._value.get() == before + 1
    assert bench.dropped == [gone.image]


async def test_what_the_sender_stored_of_a_late_event_is_erased_again() -> None:
    bench = Bench()
    await bench.erase()
    bench.stored.held = [GONE, KEPT]
    await bench.served.run([samples.frame_captured(GONE)])
    assert bench.stored.held == [KEPT]
    assert bench.step.ran == []


async def test_a_frame_that_is_erased_while_its_event_is_processed_leaves_nothing() -> None:
    bench = Bench()
    bench.step.meanwhile = bench.erase
    await bench.served.run([samples.frame_captured(GONE), samples.frame_captured(KEPT)])
    assert bench.stored.held == [KEPT]
    (forwarded,) = bench.outbox.published
    assert isinstance(forwarded, MatchesErased)
    assert forwarded.frame_hash == frame_hash(GONE)


async def test_an_error_about_a_frame_that_was_just_erased_makes_no_dead_letter() -> None:
    bench = Bench()
    bench.step.meanwhile, bench.step.fails_on = bench.erase, GONE
    await bench.served.run([samples.frame_captured(GONE), samples.frame_captured(KEPT)])
    assert bench.stored.held == [KEPT]


async def test_an_error_about_another_frame_is_raised() -> None:
    bench = Bench()
    await bench.erase()
    bench.step.fails_on = KEPT
    with pytest.raises(MissingImage):
        await bench.served.run([samples.frame_captured(GONE), samples.frame_captured(KEPT)])


async def test_a_shortlist_loses_its_erased_candidates_and_no_others() -> None:
    bench = Bench()
    await bench.erase()
    listed = samples.shortlist_published(samples.needle_found(KEPT), GONE, KEPT)
    of_gone = samples.shortlist_published(samples.needle_found(GONE), KEPT)
    await bench.served.run([listed, of_gone])
    (left,) = bench.step.ran
    assert isinstance(left, ShortlistPublished)
    assert [item.frame_id for item in left.candidates] == [KEPT]


async def test_a_request_is_forgotten_erased_forwarded_and_confirmed() -> None:
    bench = Bench()
    await bench.erase()
    await bench.tombstones.note_swept([GONE])
    bench.stored.held = [GONE, KEPT]
    await bench.served.run([_erased()])
    assert bench.forgotten == {frame_hash(GONE)}
    assert bench.stored.held == [KEPT]
    assert [type(event) for event in bench.outbox.published] == [MatchesErased]
    assert await bench.tombstones.awaited() == {}
    assert await bench.tombstones.unconfirmed({frame_hash(GONE)}) == {}


async def test_a_request_that_comes_again_does_no_harm() -> None:
    bench = Bench()
    await bench.erase()
    await bench.tombstones.note_swept([GONE])
    await bench.served.run([_erased(), samples.frame_captured(KEPT)])
    await bench.served.run([_erased()])
    assert bench.stored.held == [KEPT]
    assert await bench.tombstones.erased([GONE]) == {GONE}
