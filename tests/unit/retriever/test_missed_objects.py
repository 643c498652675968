"""The strategy `missed-objects`: frames where the detector probably missed what it misses."""

from collections.abc import Sequence

import numpy as np
import pytest

from services.contracts.events import Annotation, Detection, ErrorType, Event
from services.contracts.identity import FrameId, region_point_id
from services.contracts.needles import NeedleFound, ShortlistPublished
from services.domain.detection.operating_scores import OperatingScores
from services.domain.ports.frames import FrameRecord
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Point, collection_of
from services.domain.shortlists.epochs import WINDOW
from services.domain.splits import SplitRule
from services.fp_miner import logic as miner
from services.fp_miner.logic import NeedleRule
from services.retriever.allocation import detector_allocator
from tests import samples
from tests.unit.retriever.test_service import World

SPLIT = SplitRule(0.1)
HAYSTACK, REFERENCE = [
    [f"d{n}" for n in range(400) if (SPLIT.split_of(FrameId("f"), f"d{n}") == split)]  # type: ignore[arg-type]
    for split in ("haystack", "reference")
]
UNSURE, SURE = samples.detection(score=0.3), samples.detection(score=0.9)
OBJECT = samples.annotation()


class MissWorld(World):
    """A retriever that lists for misses; every frame has a drive of its own."""

    def __init__(self, **settings: float | str) -> None:
        misses: dict[str, float | str] = {
            "shortlist_strategy": "missed-objects",
            "mine_misses": True,
            "event_version": 2,
            "shortlist_budget": 0.5,
        }
        super().__init__(**(misses | settings))
        self._free = {"haystack": list(HAYSTACK), "reference": list(REFERENCE)}

    async def frame(
        self,
        frame_id: str,
        *found: Detection,
        there: Sequence[Annotation] | None = None,
        split: str = "haystack",
    ) -> list[Event]:
        """Store a frame as the other services do; their events. Annotated where `there` is."""
        drive = self._free[split].pop()
        captured = samples.frame_captured(frame_id, drive)
        made = samples.predictions_made(*found, frame_id=frame_id)
        embedded = samples.frame_embedded(made)
        await self.frames.record([captured, made])
        frames, regions = (
            collection_of(alias, samples.MODEL) for alias in (FRAME_VECTORS, REGION_VECTORS)
        )
        await self.vectors.ensure(regions, 2, keywords=(), numbers=())
        await self.vectors.ensure(frames, 2, keywords=(), numbers=())
        await self.vectors.alias({REGION_VECTORS: regions})
        ones = np.array([1, 0], np.float32)
        await self.vectors.upsert(frames, [Point(embedded.frame_point, ones, {"split": split})])
        if there is None:
            return [embedded]
        truth = samples.frame_annotated(*there, frame_id=frame_id)
        await self.frames.record([truth])
        ids = [region_point_id(samples.MODEL, region) for region in truth.annotation_ids()]
        await self.vectors.upsert(regions, [Point(point, ones, {"split": split}) for point in ids])
        record = FrameRecord(FrameId(frame_id), captured, truth, {made.detector_id: made})
        (complete,) = miner.complete_frames([record], {})
        match = miner.matches_of([complete], SPLIT, OperatingScores(0.5))[0]
        await self.matches.record([match])
        return [
            embedded,
            match,
            *miner.needles_in(match, NeedleRule(OperatingScores(0.5), misses=True)),
        ]

    async def reference(self) -> list[Event]:
        """Eight frames with an unsure detection on a missed object, and eight without a miss."""
        events = []
        for n in range(8):
            missed = await self.frame(f"missed{n}", UNSURE, there=[OBJECT], split="reference")
            right = await self.frame(f"right{n}", SURE, there=[OBJECT], split="reference")
            events += [*missed, *right]
        return events

    def listed(self) -> set[str]:
        """The frames on the shortlists that were published last."""
        latest = {
            event.needle_id: event
            for event in self.outbox.published
            if isinstance(event, ShortlistPublished)
        }
        return {c.frame_id for event in latest.values() for c in event.candidates}


async def test_frames_with_unsure_detections_are_listed_first() -> None:
    world = MissWorld()
    events = await world.reference()
    for n in range(4):
        events += await world.frame(f"unsure{n}", UNSURE)
        events += await world.frame(f"sure{n}", SURE)
    await world.run(events)
    assert world.listed() == {f"unsure{n}" for n in range(4)}


async def test_a_candidate_is_the_surest_detection_that_is_not_shown() -> None:
    world = MissWorld()
    events = await world.reference()
    fainter = samples.detection(score=0.1, bbox=(1, 1, 9, 9))
    events += await world.frame("hay", fainter, UNSURE, SURE)
    await world.run(events)
    (candidate,) = {
        c
        for event in world.outbox.published
        if isinstance(event, ShortlistPublished)
        for c in event.candidates
    }
    assert (candidate.score, candidate.bbox) == (UNSURE.score, UNSURE.bbox)
    assert 0 < candidate.evidence < 1


async def test_the_shortlists_are_those_of_misses_and_say_how_they_were_made() -> None:
    world = MissWorld()
    events = await world.reference()
    events += await world.frame("wrong", SURE, there=[], split="reference")
    events += await world.frame("hay", UNSURE)
    await world.run(events)
    published = [e for e in world.outbox.published if isinstance(e, ShortlistPublished)]
    assert {event.needle.error_type for event in published} == {ErrorType.MISSED}
    assert {e.provenance.method for e in published} == {"poisson"}
    assert any(isinstance(e, NeedleFound) and e.error_type is ErrorType.BACKGROUND for e in events)


async def test_a_frame_that_comes_later_is_listed_too() -> None:
    world = MissWorld()
    await world.run([*await world.reference(), *await world.frame("first", UNSURE)])
    await world.run(await world.frame("second", UNSURE))
    assert world.listed() == {"first", "second"}


@pytest.mark.parametrize(("least", "is_listed"), [(16, True), (17, False)])
async def test_frames_are_listed_early_where_enough_frames_are_annotated(
    monkeypatch: pytest.MonkeyPatch, least: int, is_listed: bool
) -> None:
    monkeypatch.setattr(detector_allocator, "MIN_EARLY_EXAMPLES", least)
    world = MissWorld(shortlist_budget=0.9, shortlist_early=0.9)
    await world.step.run(await world.reference())
    for number in range(WINDOW):
        await world.step.run(await world.frame(f"hay{number}", UNSURE))
    assert bool(world.listed()) is is_listed


async def test_a_process_that_starts_again_lists_the_same() -> None:
    world = MissWorld()
    await world.run([*await world.reference(), *await world.frame("first", UNSURE)])
    before = len(world.outbox.published)
    again = world.retriever()
    await world.run([], again)
    assert len(world.outbox.published) == before
    await world.run(await world.frame("second", UNSURE), again)
    assert world.listed() == {"first", "second"}


async def test_frames_beyond_the_bytes_of_the_table_are_not_listed() -> None:
    world = MissWorld(miss_table_bytes=17 * 650)
    events = await world.reference()
    for name in ("a-dropped", "z-kept"):  # captured at the same time, so the id decides
        events += await world.frame(name, UNSURE)
    await world.run(events)
    assert world.listed() == {"z-kept"}


async def test_a_needle_waits_for_its_objects_vector() -> None:
    world = MissWorld()
    events = [*await world.reference(), *await world.frame("hay", UNSURE)]
    needles = [event for event in events if isinstance(event, NeedleFound)]
    others = [event for event in events if not isinstance(event, NeedleFound)]
    await world.run(needles)
    await world.run(others)
    assert world.listed() == {"hay"}


async def test_reannotated_frames_are_not_listed() -> None:
    world = MissWorld()
    events = [*await world.reference(), *await world.frame("done", UNSURE)]
    events += await world.frame("open", UNSURE)
    truth = samples.frame_annotated(frame_id="done")
    await world.frames.record(
        [truth.model_copy(update={"annotation_source": "reannotation", "revision": 2})]
    )
    await world.run(events)
    assert world.listed() == {"open"}


async def test_nothing_is_listed_while_nothing_was_missed() -> None:
    world = MissWorld()
    events = await world.frame("right", SURE, there=[OBJECT], split="reference")
    await world.run([*events, *await world.frame("hay", UNSURE)])
    assert world.listed() == set()


@pytest.mark.parametrize("count", [1, 3])
async def test_the_budget_holds(count: int) -> None:
    world = MissWorld(shortlist_budget=count / 10, shortlist_size=1)
    events = await world.reference()
    for n in range(10):
        events += await world.frame(f"hay{n}", UNSURE)
    await world.run(events)
    assert len(world.listed()) == count


async def test_a_process_that_only_followed_so_far_lists_what_the_one_before_would() -> None:
    listed = []
    for takes_over in (False, True):
        world = MissWorld(shortlist_size=1)
        standby = world.retriever()
        events = await world.reference()
        for n in range(6):
            events += await world.frame(f"unsure{n}", UNSURE)
        await world.run(events)
        await standby.settle()
        few = [
            *await world.frame("missed-later", UNSURE, there=[OBJECT], split="reference"),
            *await world.frame("right-later", SURE, there=[OBJECT], split="reference"),
        ]
        await world.run(few)
        await standby.settle()
        later = [await world.frame(f"sure{n}", SURE) for n in range(6)]
        events = [event for of_frame in later for event in of_frame]
        await world.run(events, standby if takes_over else world.step)
        listed.append(world.listed())
    assert listed[0] == listed[1] == {f"unsure{n}" for n in range(6)}
