"""Kinds that are learnt again while batches go on."""

import asyncio
from collections.abc import AsyncIterator
from threading import Event as Gate

import pytest

from services.contracts.events import ErrorType
from services.contracts.matches import FrameMatched, categories_of
from services.domain.mining.failure_model import Examples, FailureModel
from services.retriever import logic
from services.retriever.learning import fitting as learning
from services.retriever.scoring.caches import FrameCache, MatchCache, VectorCache
from services.runtime.settings import Settings
from tests import samples
from tests.deadline import until
from tests.unit.retriever.test_service import World, found


class Lessons:
    """Fits that a test holds up, however few examples they are of."""

    def __init__(self) -> None:
        self.go_on = Gate()
        self.go_on.set()
        self.begun = 0
        self.ended = 0
        self.error: Exception | None = None

    def fit(self, examples: Examples) -> FailureModel:
        self.begun += 1
        assert self.go_on.wait(timeout=20)
        try:
            if self.error is not None:
                raise self.error
            return FailureModel(examples)
        finally:
            self.ended += 1

    async def over(self) -> None:
        """Let them end."""
        self.go_on.set()
        await until(lambda: self.ended == self.begun)


@pytest.fixture
async def lessons(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lessons]:
    # In the loop, which waits for its threads when it closes.
    held = Lessons()
    monkeypatch.setattr(learning, "FailureModel", held.fit)
    monkeypatch.setattr(learning, "_AWAITED_EXAMPLES_MAX", -1)
    yield held
    held.go_on.set()


async def taught_meanwhile(lessons: Lessons) -> World:
    """A needle that has `hay` listed, and a running refit after which it would not."""
    world = World()
    await world.step.run([await found(world), await world.embed("hay", 0.7)])
    lessons.go_on.clear()
    await world.step.run([await example(world, f"right{n}", 0.75, right=True) for n in range(3)])
    return world


async def example(world: World, frame_id: str, angle: float, *, right: bool) -> FrameMatched:
    """An annotated frame, of a drive that is a reference one by its name too."""
    await world.embed(frame_id, angle, split="reference", drive="d28")
    return await world.annotate(frame_id, right=right)


async def test_a_batch_taken_while_a_kind_is_learnt_is_answered_by_what_was_learnt_before(
    lessons: Lessons,
) -> None:
    world = await taught_meanwhile(lessons)
    await world.step.run([await world.embed("near", 0.1)])
    assert world.shortlists() == [["hay"], ["near", "hay"]]
    assert world.latest()["needle"].provenance.method == "similarity"


async def test_what_was_learnt_meanwhile_is_gone_by_from_the_next_batch_on_as_in_a_settled_plan(
    lessons: Lessons,
) -> None:
    world = await taught_meanwhile(lessons)
    await lessons.over()
    await world.step.run([await world.embed("near", 0.1)])
    assert world.shortlists() == [["hay"], ["near"]]
    carried_on = world.latest()["needle"]
    assert carried_on.provenance.method == "contrast"
    await world.step.settle()
    await world.retriever().run([await world.embed("far", 3.0)])
    assert world.latest()["needle"] == carried_on


async def test_a_settled_plan_waits_for_what_there_is_to_learn(lessons: Lessons) -> None:
    world = await taught_meanwhile(lessons)
    settling = asyncio.create_task(world.step.settle())
    await asyncio.sleep(0)
    await lessons.over()
    assert await settling
    assert world.shortlists() == [["hay"], []]
    # The examples are the same, so the running refit serves both.
    assert lessons.begun == 2


async def test_a_lesson_that_was_overtaken_by_a_settled_plan_is_forgotten(lessons: Lessons) -> None:
    world = await taught_meanwhile(lessons)
    await example(world, "wrong", 0.7, right=False)
    await lessons.over()
    await world.step.settle()
    settled = world.latest()["needle"]
    await world.step.run([await world.embed("far", 3.0)])
    assert world.latest()["needle"] == settled


async def test_another_way_of_failing_is_looked_for_at_once_by_what_was_learnt_before(
    lessons: Lessons,
) -> None:
    world = World()
    await world.embed("hay", 0.7)
    await world.step.run([await found(world)])
    assert world.shortlists() == [["hay"]]
    await world.embed("other-hay", -0.7)
    lessons.go_on.clear()
    match = await example(world, "other", -0.8, right=False)
    duplicate = {"error_type": ErrorType.DUPLICATE}
    await world.step.run([match, samples.needle_found("other").model_copy(update=duplicate)])
    assert lessons.ended == lessons.begun - 1
    assert [each.frame_id for each in world.latest()["other"].candidates] == ["other-hay"]


async def test_a_lesson_that_fails_stops_the_retriever(lessons: Lessons) -> None:
    world = await taught_meanwhile(lessons)
    lessons.error = RuntimeError("no minimum")
    await lessons.over()
    with pytest.raises(RuntimeError, match="no minimum"):
        await world.step.run([await world.embed("near", 0.1)])
    lessons.error = None
    await world.step.run([await world.embed("near", 0.1)])
    assert [each.frame_id for each in world.latest()["needle"].candidates] == ["near"]


@pytest.mark.parametrize(("most", "times"), [(8, 1.5), (4, 3.0)])
async def test_a_kind_with_all_the_examples_that_are_fitted_is_learnt_again_more_seldom(
    monkeypatch: pytest.MonkeyPatch, most: int, times: float
) -> None:
    monkeypatch.setattr(logic, "EXAMPLES_MAX", most)
    world = World()
    for number in range(4):
        await example(world, f"right{number}", 0.75, right=True)
    frames = FrameCache(world.frames)
    matches, vectors = MatchCache(world.matches, frames), VectorCache(world.vectors)
    fits = learning.Learning(frames, matches, vectors, Settings())
    detector_category = logic.detector_category_of(*categories_of([samples.frame_matched()]))
    await fits.of(detector_category, samples.MODEL)

    observed = 4
    while not fits.needs_refit(detector_category):
        fits.observe(detector_category)
        observed += 1
    assert observed == 4 * times
