"""Whatever step an erasure is killed at, the next one finishes it, and neighbours stay."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from services.app.erasure.eraser import FrameEraser, Outside
from services.app.erasure.needles import NeedleTraces
from services.app.erasure.outside import BackupCopies
from services.app.erasure.vectors import RecordedVectors, VectorTraces
from services.contracts.erasures import FrameErased
from services.contracts.identity import FrameId, PointId, frame_hash
from services.contracts.needles import ShortlistPublished
from services.domain.erasure import erased_name, frames_of
from services.domain.ports.audit import AuditAct, AuditRecord
from services.domain.ports.erasure import (
    RETENTION,
    CountedTraces,
    ErasureRequest,
    FrameTraces,
    OutsideCopy,
)
from services.domain.ports.vectors import Point, Where
from tests import samples
from tests.fakes.audit import InMemoryAuditLog
from tests.fakes.clock import FakeClock
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.needles import InMemoryNeedleStore
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.tombstones import InMemoryTombstones
from tests.fakes.traces import InMemoryCopies, InMemoryTraces
from tests.fakes.vectors import InMemoryVectors

GONE, KEPT = FrameId("gone"), FrameId("kept")
REQUEST = ErasureRequest("ada", "request 17", datetime(2026, 5, 4, tzinfo=UTC))
COLLECTION = "frames-m"
COPY = OutsideCopy("tasks elsewhere", ("1",), "delete them")


class KilledError(Exception):
    """The process ended here."""


@dataclass
class Fuse:
    """Ends the process at its n-th step, before the step's effect or after it."""

    left: int
    after: bool

    async def step(self, work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise KilledError
        result = await work(*args)
        if self.left == 0:
            raise KilledError
        return result


class Fused:
    """A part whose every call is a step."""

    def __init__(self, part: Any, fuse: Fuse) -> None:
        self._part = part
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return found

        async def step(*args: Any) -> Any:
            return await self._fuse.step(found, *args)

        return step


@dataclass
class World:
    tombstones: InMemoryTombstones = field(default_factory=InMemoryTombstones)
    needles: InMemoryNeedleStore = field(default_factory=InMemoryNeedleStore)
    vectors: InMemoryVectors = field(default_factory=InMemoryVectors)
    outbox: InMemoryOutbox = field(default_factory=InMemoryOutbox)
    frames: InMemoryTraces = field(
        default_factory=lambda: InMemoryTraces("frames", [GONE, KEPT, GONE])
    )
    copies: InMemoryCopies = field(default_factory=lambda: InMemoryCopies([KEPT, GONE]))
    audit: InMemoryAuditLog = field(default_factory=InMemoryAuditLog)

    async def fill(self) -> None:
        own, other = samples.needle_found(GONE), samples.needle_found(KEPT)
        await self.needles.record([own, other])
        listed = samples.shortlist_published
        await self.needles.write_shortlists([listed(own, KEPT), listed(other, GONE, KEPT)])
        await self.vectors.ensure(COLLECTION, 2, keywords=["frame_id"], numbers=[])
        points = [
            Point(PointId(frame_id), np.ones(2, np.float32), {"frame_id": frame_id})
            for frame_id in (GONE, KEPT)
        ]
        await self.vectors.upsert(COLLECTION, points)

    def eraser(self, fuse: Fuse | None = None) -> FrameEraser:
        def fused(part: Any) -> Any:
            return Fused(part, fuse) if fuse else part

        outbox, needles = fused(self.outbox), fused(self.needles)
        traces: list[FrameTraces] = [
            NeedleTraces(needles, outbox),
            VectorTraces(fused(self.vectors)),
            fused(self.frames),
        ]
        outside = Outside([self.copies], fused(self.audit), FakeClock())
        return FrameEraser(fused(self.tombstones), traces, outbox, outside)

    async def left(self) -> dict[str, object]:
        """What is stored, and what readers who have read everything hold in the end."""
        await self._publish_unpublished()
        shortlists: dict[str, ShortlistPublished] = {}
        for event in self.outbox.published:
            if isinstance(event, ShortlistPublished):
                shortlists[event.needle_id] = event
        return {
            "frames": self.frames.held,
            "points": await self.vectors.count(COLLECTION, Where()),
            "needles": [record async for record in self.needles.scan()],
            "shortlists": shortlists,
            "tombstones": self.tombstones.held,
            "copies": {record.details["what"] for record in self.audit.records},
            "erased": {e.frame_hash for e in self.outbox.published if isinstance(e, FrameErased)},
        }

    async def _publish_unpublished(self) -> None:
        """Do what every retriever does with shortlists that are stored and not acknowledged."""
        for record in [record async for record in self.needles.scan()]:
            if record.shortlist and record.shortlist.revision > record.published_revision:
                await self.outbox.publish([record.shortlist])
                await self.needles.mark_published([record.shortlist])


async def _erased(fuse: Fuse | None = None) -> tuple[World, bool]:
    """A world in which the frame was erased, by one run or two; whether the first was killed."""
    world = World()
    await world.fill()
    try:
        await world.eraser(fuse).erase([GONE], REQUEST)
    except KilledError:
        await world.eraser().erase([GONE], REQUEST)
        return world, True
    return world, False


@pytest.mark.parametrize("after", [False, True])
async def test_a_second_run_finishes_wherever_the_first_was_killed(*, after: bool) -> None:
    whole, _ = await _erased()
    expected = await whole.left()
    assert expected["frames"] == [KEPT]
    steps = 0
    while True:
        world, killed = await _erased(Fuse(steps + 1, after))
        if not killed:
            break
        steps += 1
        left = await world.left()
        assert left == expected, f"killed at step {steps}"
    assert steps > 12  # every part was killed at


async def test_the_next_sweep_finishes_what_nobody_asks_for_again() -> None:
    world = World()
    await world.fill()
    with pytest.raises(KilledError):
        await world.eraser(Fuse(12, after=False)).erase([GONE], REQUEST)
    assert await world.eraser().sweep() == [COPY]
    assert await world.left() == await (await _erased())[0].left()


async def test_nothing_that_is_left_or_published_names_the_frame() -> None:
    world, _ = await _erased()
    named = {frame_id for event in world.outbox.published for frame_id in frames_of(event)}
    assert named == {KEPT, erased_name(GONE)}
    assert GONE not in repr([event.model_dump() for event in world.outbox.published])
    assert GONE not in repr(await world.left())


async def test_readers_get_shortlists_without_the_frame_and_its_needles_withdrawn() -> None:
    world, _ = await _erased()
    latest = (await world.left())["shortlists"]
    assert isinstance(latest, dict)
    own, other = samples.needle_found(GONE), samples.needle_found(KEPT)
    assert latest[own.needle_id].candidates == ()
    assert [item.frame_id for item in latest[other.needle_id].candidates] == [KEPT]
    assert all(event.revision == 2 for event in latest.values())


async def test_a_preview_counts_and_erases_nothing() -> None:
    world = World()
    await world.fill()
    before = await world.left()
    outcome = await world.eraser().preview([GONE])
    assert outcome.copies == [COPY]
    assert outcome.counts == {
        "needles, and shortlists with the frame": 2,
        "vectors": 1,
        "frames": 2,
    }
    assert await world.left() == before


async def test_a_preview_beside_services_counts_what_they_erase_and_an_erasure_leaves_it() -> None:
    world, embeddings = World(), InMemoryEmbeddings()
    await world.fill()
    made = samples.predictions_made(samples.detection(), frame_id=GONE)
    await embeddings.record([samples.frame_embedded(made)])
    outside = Outside([], world.audit, FakeClock())
    held: list[CountedTraces] = [
        NeedleTraces(world.needles, world.outbox),
        RecordedVectors(embeddings),
    ]
    eraser = FrameEraser(world.tombstones, [world.frames], world.outbox, outside, held)
    counts = {"frames": 2, "needles, and shortlists with the frame": 2, "vectors": 2}
    assert (await eraser.preview([GONE])).counts == counts
    assert (await eraser.erase([GONE], REQUEST)).counts == counts
    assert len(await world.needles.naming([GONE])) == 2


async def test_the_event_goes_to_the_frames_partition_and_holds_its_hash_only() -> None:
    world, _ = await _erased()
    (event,) = [event for event in world.outbox.published if isinstance(event, FrameErased)]
    assert event.partitioned_by() == samples.frame_captured(GONE).partitioned_by()
    assert event.frame_hash == frame_hash(GONE)
    assert GONE not in event.model_dump_json()


async def test_copies_outside_are_named_once_and_those_of_old_frames_are_not_looked_for() -> None:
    world = World()
    await world.fill()
    outcome = await world.eraser().erase([GONE], REQUEST)
    assert outcome.copies == [COPY]
    assert [(record.by, record.on) for record in world.audit.records] == [("ada", COPY.where)]

    aged = World()
    await aged.fill()
    by_age = ErasureRequest(RETENTION, "unlisted for 30 days", REQUEST.requested_at)
    assert (await aged.eraser().erase([GONE], by_age)).copies == []
    assert aged.audit.records == []


async def test_copies_are_noted_for_the_person_who_had_their_frame_erased() -> None:
    world = World()
    by_age = ErasureRequest(RETENTION, "unlisted for 30 days", REQUEST.requested_at)
    await world.tombstones.add([FrameId(f"old-{number}") for number in range(8)], by_age)
    await world.tombstones.add([GONE], REQUEST)
    await world.tombstones.add([KEPT], replace(REQUEST, requested_by="ben"))

    await world.eraser().sweep()

    noted = {(record.by, record.details["what"]) for record in world.audit.records}
    assert noted == {("ada", "1"), ("ben", "0")}


async def test_a_copy_of_several_peoples_frames_is_noted_once_for_each() -> None:
    world = World()
    await world.audit.append(AuditRecord(FakeClock().now(), AuditAct.BACKED_UP, "ops", "/backups"))
    await world.tombstones.add([GONE], REQUEST)
    await world.tombstones.add([KEPT], replace(REQUEST, requested_by="ben"))
    found = await world.tombstones.unswept(2)
    outside = Outside([BackupCopies(world.audit)], world.audit, FakeClock())

    await outside.note(found)
    await outside.note(found)

    noted = [item.by for item in world.audit.records if item.act is AuditAct.COPY_LEFT]
    assert sorted(noted) == ["ada", "ben"]


async def test_a_bounded_number_of_interrupted_requests_is_finished_at_a_time() -> None:
    world, names = World(), [FrameId(f"f{number}") for number in range(5)]
    await world.tombstones.add(names, REQUEST)
    later = REQUEST.requested_at + timedelta(minutes=1)
    await world.tombstones.add([GONE], replace(REQUEST, requested_at=later))

    assert await world.eraser().finish(REQUEST.requested_at, 3) == 0
    assert [await world.eraser().finish(later, 3) for _ in range(3)] == [3, 2, 0]

    assert [item.frame_id for item in await world.tombstones.unswept(9)] == [GONE]
    assert GONE in world.frames.held


async def test_ids_stay_for_services_that_did_not_run_when_the_erasure_was_requested() -> None:
    world = World()
    await world.tombstones.add([GONE], REQUEST)
    eraser = replace(world.eraser(), services=("embedder",))

    await eraser.sweep()

    assert await world.tombstones.awaited() == {"embedder": 1}
    assert await world.tombstones.unconfirmed({frame_hash(GONE)}) == {frame_hash(GONE): GONE}
