"""The strategy `label-efficiency`: a budget for coverage, rare categories and expected errors."""

from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any

import pytest

from services.contracts.identity import DetectorId, FrameId
from services.contracts.matches import CategoryMatched
from services.contracts.needles import Candidate, NeedleFound
from services.domain.ports.frames import FrameRecord
from services.domain.shortlists.purposes import Purpose
from services.retriever.allocation.divided_budget import DividedBudget
from services.retriever.caches import FrameCache
from services.retriever.changelog import Changelog
from services.retriever.learning.match_cache import MatchCache
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.epochs import InMemoryEpochStore
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.unit.retriever.test_service import World, found

FRAMES = 60
SIZE = 18
SETTINGS = {"shortlist_budget": 0.3, "shortlist_size": SIZE, "shortlist_per_drive": SIZE}
STRATEGY = "label-efficiency"


def world_of(strategy: str = STRATEGY, **settings: float) -> World:
    return World(shortlist_strategy=strategy, **SETTINGS | settings)


async def filled(world: World, *needles: NeedleFound) -> World:
    """A needle, these others, and frames of which a third looks like it."""
    await world.embed("needle", 0.0, split="reference", drive="d1")
    events = [await world.embed(f"h{n:02d}", 0.06 * n) for n in range(FRAMES)]
    await world.run([samples.needle_found("needle"), *needles, *events])
    return world


def listed(world: World) -> list[Candidate]:
    return [item for shortlist in world.latest().values() for item in shortlist.candidates]


def frames_of(candidates: Iterable[Candidate]) -> set[FrameId]:
    return {item.frame_id for item in candidates}


def covering(world: World) -> set[FrameId]:
    return frames_of(item for item in listed(world) if not item.evidence)


async def test_a_third_of_the_first_budget_is_for_coverage() -> None:
    world, errors_alone = await filled(world_of()), await filled(world_of("costliest-errors"))
    assert not covering(errors_alone)
    assert len(listed(world)) == len(listed(errors_alone)) == SIZE
    assert len(covering(world)) == SIZE // 3
    chosen = frames_of(listed(world)) - covering(world)
    assert chosen < frames_of(listed(errors_alone))


async def test_coverage_gets_what_errors_leave() -> None:
    world = await filled(world_of(shortlist_evidence=0.99))
    assert len(listed(world)) == SIZE
    assert len(covering(world)) > SIZE // 3


async def test_a_frame_that_was_just_reannotated_is_not_listed_for_coverage() -> None:
    world = world_of(frame_cache_bytes=1)
    other = await found(world, "other", 2.9)
    await filled(world, other)
    before = covering(world)
    unlisted = {f"h{n:02d}" for n in range(FRAMES)} - frames_of(listed(world))
    for frame in sorted(unlisted):
        await world.correct(frame, right=True)  # its event has not arrived
    await world.run([await world.embed(f"new{n:02d}", 4.5) for n in range(20)])
    assert covering(world) - before
    assert not unlisted & frames_of(listed(world))


class ReadFrameStore(InMemoryFrameStore):
    """Notes which frames were loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: set[FrameId] = set()

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameRecord]:
        self.loaded |= set(frame_ids)
        return await super().load(frame_ids)


async def test_a_spent_budget_reads_no_frames_for_coverage() -> None:
    world = world_of(frame_cache_bytes=1)
    world.frames = store = ReadFrameStore()
    world.step = world.retriever()
    await filled(world)
    store.loaded.clear()
    await world.run([await world.embed("needle", 0.0, split="reference", drive="d1")])
    assert store.loaded <= {"needle"}


async def test_frames_for_coverage_stay_after_a_restart_and_without_a_record() -> None:
    world = await filled(world_of())
    before = covering(world)
    await world.run([await world.embed("new", 3.0)], world.retriever())
    assert covering(world) == before
    world.epochs = InMemoryEpochStore()  # type: ignore[assignment]  # as before there were records
    await world.run([await world.embed("newer", 3.0)], world.retriever())
    assert covering(world) == before


async def test_frames_for_coverage_stay_when_a_model_finds_no_evidence() -> None:
    world = await filled(world_of())
    before = covering(world)
    angles = [(0.02 * n, False) for n in range(8)] + [(2.0 + 0.02 * n, True) for n in range(8)]
    matches = [
        await world.example(f"r{n:02d}", angle, right=right)
        for n, (angle, right) in enumerate(angles)
    ]
    await world.run(matches)
    assert before <= frames_of(listed(world))


@pytest.mark.parametrize("more", [Purpose.COVERAGE, Purpose.ERRORS])
async def test_the_next_version_gives_more_to_what_found_errors(more: Purpose) -> None:
    world = await filled(world_of())
    for item in listed(world):
        purpose = Purpose.ERRORS if item.evidence else Purpose.COVERAGE
        await world.correct(item.frame_id, right=purpose is not more)
    matches = MatchCache(world.matches, FrameCache(world.frames, 10**6), 10**6)
    records = [record async for record in world.needles.scan()]
    settings = Settings(shortlist_strategy=STRATEGY)
    for version, is_next in (("ods@2", True), ("other@2", False)):
        division = DividedBudget(DetectorId(version), matches, settings, Changelog())
        await division.learn(records)
        parts = division.parts(30, ())
        assert (parts[more] == max(parts.values()) > 10) is is_next


class CountedMatchStore(InMemoryMatchStore):
    """Counts how often matches were read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def scan(self, **filters: Any) -> AsyncIterator[CategoryMatched]:
        self.reads += 1
        return super().scan(**filters)


async def test_many_needles_read_the_annotated_frames_as_often_as_one() -> None:
    world = world_of()
    world.matches = store = CountedMatchStore()
    world.step = world.retriever()
    await filled(world, *[await found(world, f"other{n}", 2.0 + 0.3 * n) for n in range(3)])
    await world.correct(min(covering(world)), right=False)
    records = [record async for record in world.needles.scan() if record.shortlist]
    assert len(records) > 2
    reads = []
    for some in (records[:1], records):
        matches = MatchCache(store, FrameCache(world.frames, 10**6), most_bytes=1)
        await matches.known()
        before = store.reads
        settings = Settings(shortlist_strategy=STRATEGY)
        division = DividedBudget(samples.DETECTOR, matches, settings, Changelog())
        await division.learn(some)
        reads.append(store.reads - before)
    assert reads[0] == reads[1] > 0


async def test_what_an_undone_annotation_found_divides_no_budget() -> None:
    world = await filled(world_of())
    settings = Settings(shortlist_strategy=STRATEGY)
    facts = FrameCache(world.frames, 10**6)
    matches = MatchCache(world.matches, facts, 10**6)
    for item in listed(world):
        await world.correct(item.frame_id, right=not item.evidence)
    division = DividedBudget(samples.DETECTOR, matches, settings, Changelog())
    await division.learn([record async for record in world.needles.scan()])
    parts = division.parts(30, ())
    frames = frames_of(listed(world))
    matches.note([await world.undo(frame) for frame in sorted(frames)])
    division.note(await facts.load(frames))
    await division.judge()
    unknown = DividedBudget(samples.DETECTOR, matches, settings, Changelog())
    assert division.parts(30, ()) == unknown.parts(30, ()) != parts


async def test_the_annotated_frames_of_a_category_are_read_once_for_all_verdicts() -> None:
    world = world_of(match_cache_bytes=1)
    world.matches = store = CountedMatchStore()
    world.step = world.retriever()
    await filled(world)
    frames = sorted(frames_of(listed(world)) - covering(world))[:3]
    await world.step.run([await world.correct(frame, right=False) for frame in frames])
    corrected = world.step._detectors.stages[samples.DETECTOR].allocator._corrected
    before = store.reads
    assert len(await corrected.verdicts()) == 3
    assert store.reads == before + 1
