"""Figures that are brought up to date by what changed are those of reading everything."""

import random
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace

import pytest

from services.contracts.errors import StoreUnavailable
from services.contracts.events import Split
from services.contracts.identity import Category, DetectorId, FrameId
from services.contracts.matches import CategoryMatched, categories_of
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.lift import LiftPool
from services.domain.metrics.subsets import Subset
from services.domain.ports.frames import FrameRecord
from services.evaluator.reports.costs import StoredErrorCosts
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.frame_sample import FrameSample
from services.evaluator.reports.report import Counts
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.unit.domain.oracle import Frame, matched, random_frames

COUNTS = Counts(frames=0, predictions=0, ground_truth=0)
COLUMNS = ("regions", "bboxes", "scores", "matched", "ignored", "overlaps", "errors")
NOTHING = dict.fromkeys((*COLUMNS, "true_categories"), ()) | {"ground_truths": (0, 0, 0, 0)}
"""What is left of a category that is no longer on a frame."""


class WatchedMatches(InMemoryMatchStore):
    """Tells which frames' matches are read by name, and may be away."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock.now)
        self.named: list[set[FrameId]] = []
        self.away = False
        self.scans_fail = False

    async def load(self, frame_ids: Collection[FrameId]) -> list[CategoryMatched]:
        if self.away:
            raise StoreUnavailable("away")
        self.named.append(set(frame_ids))
        return await super().load(frame_ids)

    async def scan(
        self,
        *,
        detector: DetectorId | None = None,
        categories: Collection[Category] | None = None,
        split: Split | None = None,
    ) -> AsyncIterator[CategoryMatched]:
        if self.scans_fail:
            raise StoreUnavailable("away")
        async for match in super().scan(detector=detector, categories=categories, split=split):
            yield match


class WatchedFrames(InMemoryFrameStore):
    """Tells which frames are asked for, None for all of them; may fail to read all."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[FrameId] | None] = []
        self.scans_fail = False

    async def evaluable(
        self, frame_ids: Collection[FrameId] | None = None
    ) -> AsyncIterator[Sequence[FrameRecord]]:
        if frame_ids is None and self.scans_fail:
            raise StoreUnavailable("away")
        self.asked.append(None if frame_ids is None else set(frame_ids))
        async for some in super().evaluable(frame_ids):
            yield some


class Stored:
    """Frames with their matches, of which each change is a revision."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.frames = WatchedFrames()
        self.matches = WatchedMatches(self.clock)
        self.needles = InMemoryNeedleStore()
        self._revision = 0

    async def tell(self, frames: Sequence[Frame]) -> None:
        """Store what is said of frames, in place of what was said before."""
        self._revision += 1
        for frame in frames:
            state = {"revision": self._revision}
            made = frame.predictions.model_copy(update=state)
            truth = frame.truth.model_copy(update=state)
            await self.frames.record([made, truth])
            known = await self.matches.load([frame.frame_id])
            now = matched(Frame(made, truth), revision=self._revision)
            there = {category_matched.category for category_matched in now}
            gone = [
                replace(category_matched, **NOTHING, **state)  # type: ignore[arg-type]  # the columns' types vary
                for category_matched in known
                if category_matched.category not in there
            ]
            await self.matches.record(samples.published([*now, *gone]))

    def reports(self) -> Reports:
        return Reports(self.matches, self.needles, OperatingScores(0.5), self.clock)

    def costs(self) -> StoredErrorCosts:
        return StoredErrorCosts(self.frames, self.matches, self.clock)


def changed(frame: Frame, rng: random.Random) -> Frame:
    """The same frame after its detector, or its annotator, left something out."""
    found = tuple(detection for detection in frame.predictions.detections if rng.random() < 0.7)
    there = tuple(annotation for annotation in frame.truth.annotations if rng.random() < 0.7)
    return Frame(
        frame.predictions.model_copy(update={"detections": found}),
        frame.truth.model_copy(update={"annotations": there}),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_they_are_those_of_reading_everything(seed: int) -> None:
    rng, stored = random.Random(seed), Stored()
    frames = random_frames(seed, 12)
    reports, costs = stored.reports(), stored.costs()
    for _ in range(4):
        some = rng.sample(range(len(frames)), 5)
        for place in some:
            frames[place] = changed(frames[place], rng)
        await stored.tell([frames[place] for place in some])
        stored.clock.advance(rng.choice((1.0, 600.0)))

        current, expected = await reports.now(COUNTS), await stored.reports().now(COUNTS)
        assert current.reports == expected.reports
        assert await costs.now() == await stored.costs().now()
        for subset in Subset:
            detector = frames[0].predictions.detector_id
            curves = await current.figures.curves(detector, subset)
            assert curves == await expected.figures.curves(detector, subset)


async def test_erased_frames_leave_no_trace_in_curves() -> None:
    stored = Stored()
    frames = random_frames(5, 12)
    await stored.tell(frames)
    reports = stored.reports()
    detector = frames[0].predictions.detector_id
    before = (await (await reports.take_in()).curves(detector, Subset.ALL)).confusion

    stored.matches.erase({frame.frame_id for frame in frames[:6]})
    curves = await (await reports.take_in()).curves(detector, Subset.ALL)

    expected = await stored.reports().take_in()
    assert curves == await expected.curves(detector, Subset.ALL)
    assert curves.confusion != before


async def test_only_what_changed_is_read_again() -> None:
    stored = Stored()
    frames = random_frames(1, 6)
    await stored.tell(frames)
    reports, costs = stored.reports(), stored.costs()
    await reports.now(COUNTS)
    await costs.now()
    stored.clock.advance(3600)

    await stored.tell(frames[:1])
    stored.matches.named.clear()
    for _ in range(2):
        await reports.now(COUNTS)
        await costs.now()

    name = frames[0].frame_id
    assert [item for item in stored.matches.named if item] == [{name}]
    assert stored.frames.asked == [None, {name}, set()]


async def test_of_more_frames_than_may_be_held_figures_are_those_of_a_uniform_sample() -> None:
    stored, quarter = Stored(), Stored()
    frames = random_frames(4, 64)
    sampled = [frame for frame in frames if FrameSample(halvings=2).includes(frame.frame_id)]
    await quarter.tell(sampled)
    reports = Reports(
        stored.matches, stored.needles, OperatingScores(0.5), stored.clock, most_frames=24
    )
    costs = StoredErrorCosts(stored.frames, stored.matches, stored.clock, most_frames=24)

    for first in range(0, 64, 16):
        await stored.tell(frames[first : first + 16])
        stored.clock.advance(600)
        found = (await reports.now(COUNTS)).reports, await costs.now()

    expected = (await quarter.reports().now(COUNTS)).reports, await quarter.costs().now()
    assert found == expected
    assert len(sampled) < 24 < sum(FrameSample(halvings=1).includes(f.frame_id) for f in frames)


async def test_a_store_that_goes_while_a_sample_is_halved_leaves_no_frame_out() -> None:
    stored = Stored()
    frames = random_frames(4, 32)
    reports = Reports(
        stored.matches, stored.needles, OperatingScores(0.5), stored.clock, most_frames=24
    )
    costs = StoredErrorCosts(stored.frames, stored.matches, stored.clock, most_frames=24)
    half = Stored()
    await half.tell([frame for frame in frames if FrameSample(halvings=1).includes(frame.frame_id)])
    await stored.tell(frames[:16])
    await reports.now(COUNTS)
    await costs.now()
    stored.clock.advance(600)
    await stored.tell(frames[16:])

    stored.matches.scans_fail = stored.frames.scans_fail = True
    for reading in (reports.now(COUNTS), costs.now()):
        with pytest.raises(StoreUnavailable):
            await reading
    stored.matches.scans_fail = stored.frames.scans_fail = False

    assert (await reports.now(COUNTS)).reports == (await half.reports().now(COUNTS)).reports
    assert await costs.now() == await half.costs().now()


def test_each_sample_has_about_half_of_the_frames_of_the_one_before() -> None:
    sample, left = FrameSample(), {FrameId(f"frame-{number}") for number in range(4000)}
    for halvings in range(4):
        included = {frame_id for frame_id in left if sample.includes(frame_id)}
        assert included if halvings else included == left
        assert abs(len(included) - 4000 / 2**halvings) < 100
        left, sample = included, sample.halved("a test")


async def test_what_was_told_while_a_store_was_away_is_told_again() -> None:
    stored = Stored()
    frames = random_frames(2, 6)
    await stored.tell(frames[:3])
    reports = stored.reports()
    await reports.now(COUNTS)
    await stored.tell(frames[3:])

    stored.matches.away = True
    with pytest.raises(StoreUnavailable):
        await reports.now(COUNTS)
    stored.matches.away = False

    expected = await stored.reports().now(COUNTS)
    assert (await reports.now(COUNTS)).reports == expected.reports


def test_a_frame_that_is_no_haystack_any_more_is_not_drawn() -> None:
    pool = LiftPool(OperatingScores(0.5))
    (match,) = categories_of([samples.frame_matched("a", split=Split.HAYSTACK)])
    pool.put(match)
    assert set(pool.modes(match.regions)) == set(match.regions)
    pool.put(replace(match, split=Split.REFERENCE))
    assert pool.modes(match.regions) == {}
