"""What an undo of a campaign, and of a person's corrections of a day, takes back."""

from datetime import timedelta

import pytest

from services.app.undoing.campaigns import campaign_id, note_campaign, refuse_undone
from services.app.undoing.undoer import LASTING, Effect
from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId, ImportId
from services.domain.ports.imports import ImportKind, Part, Undo
from services.evaluator.samples.report import DrawnSample
from services.ground_truth.import_journal import DailyJournal
from services.ground_truth.publishing import RevisionPublisher
from tests import samples
from tests.fakes.clock import FakeClock
from tests.unit.erasure.test_eraser import Fuse, KilledError
from tests.unit.undoing.test_undoer import AT, FIRST, OTHER_TRUTH, RIGHT_TRUTH, World

DRAWN = DrawnSample(
    campaign="june",
    detector=samples.DETECTOR,
    haystack=9,
    expected=3,
    frames={FrameId(name): 0.5 for name in ("f1", "f2", "f3")},
)
UNDO = Undo(campaign_id(DRAWN), "ada", AT)


async def annotated() -> World:
    """A campaign drew an annotated frame and two that were not; one of each was annotated since."""
    world = World()
    await world.take(FIRST, samples.frame_annotated(RIGHT_TRUTH))
    await draw(world)
    await world.take(
        ImportId("bbb"),
        samples.frame_annotated(OTHER_TRUTH),
        samples.frame_annotated(OTHER_TRUTH, frame_id="f2"),
    )
    return world


async def draw(world: World) -> None:
    await note_campaign(world.imports, world.frames, DRAWN, "ada", AT)


async def truths(world: World) -> dict[FrameId, tuple[int, bool, object]]:
    """Of each frame the revision of its ground truth, whether it is withdrawn, and the objects."""
    records = await world.frames.load(DRAWN.frames)
    return {
        name: (truth.revision, truth.withdrawn, truth.annotations)
        for name, record in sorted(records.items())
        if isinstance(truth := record.ground_truth, FrameAnnotated)
    }


TAKEN_BACK = {"f1": (3, False, (RIGHT_TRUTH,)), "f2": (2, True, ())}


async def test_an_undone_campaign_leaves_its_frames_as_they_were_drawn() -> None:
    world = await annotated()
    # Drawing again changes nothing of what is noted.
    await draw(world)
    assert await world.undoer().preview(UNDO) == {
        Effect.NO_LONGER_DRAWN: 3,
        Effect.GROUND_TRUTH_RESTORED: 1,
        Effect.GROUND_TRUTH_WITHDRAWN: 1,
    }
    await refuse_undone(world.imports, DRAWN)
    await world.undo(UNDO)
    assert await truths(world) == TAKEN_BACK
    # A repeat finds nothing to take back.
    assert not (await world.undoer().preview(UNDO)).keys() - LASTING
    await world.undo(UNDO)
    assert await truths(world) == TAKEN_BACK
    with pytest.raises(InvalidRecord, match="ada has undone the campaign 'june'"):
        await refuse_undone(world.imports, DRAWN)
    with pytest.raises(InvalidRecord, match="undone"):
        await draw(world)


async def test_an_undone_campaign_leaves_alone_what_another_undo_has_withdrawn() -> None:
    world = World()
    await world.take(FIRST, samples.frame_annotated(RIGHT_TRUTH))
    await draw(world)
    await world.undo(Undo(FIRST, "ada", AT))
    await world.undo(UNDO)
    assert await truths(world) == {"f1": (2, True, ())}


async def test_an_undone_campaign_may_keep_its_annotations() -> None:
    world = await annotated()
    before = await truths(world)
    keeping = Undo(UNDO.target, "ada", AT, keeps=True)
    assert await world.undoer().preview(keeping) == {Effect.NO_LONGER_DRAWN: 3}
    await world.undo(keeping)
    assert await truths(world) == before
    with pytest.raises(InvalidRecord):
        await refuse_undone(world.imports, DRAWN)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("after", [False, True])
async def test_a_killed_undo_of_a_campaign_is_finished(*, after: bool, stored: bool) -> None:
    for step in range(1, 100):
        world = await annotated()
        await world.imports.request(UNDO)
        try:
            await world.undoer(Fuse(step, after)).sweep()
        except KilledError:
            if stored:
                await world.deliver()
            await world.undoer().sweep()
        else:
            assert step > 5
            return
        await world.deliver()
        assert await truths(world) == TAKEN_BACK, step
    pytest.fail("it never ends")


async def test_a_persons_corrections_of_a_day_are_one_run() -> None:
    world, clock = World(), FakeClock()
    journal = DailyJournal(
        ImportKind.CORRECTIONS, "review page", world.imports, world.frames, clock
    )
    publisher = RevisionPublisher(world.ledger, world.outbox, "review", journal)
    await world.take(FIRST, samples.frame_annotated(RIGHT_TRUTH))

    async def correct(by: str, after: int, *boxes: str) -> None:
        found = [samples.annotation(name) for name in boxes]
        draft = samples.frame_annotated(*found).model_copy(update={"annotated_by": by})
        assert await publisher.publish_next(draft, after)
        await world.deliver()

    await correct("grace", 1, "yield")
    await correct("grace", 2, "yield", "stop sign")
    clock.advance(timedelta(days=1).total_seconds())
    await correct("hopper", 3)
    found = [item for item in await world.imports.all() if item.run.name == "review page"]
    assert [(item.run.by, item.counts) for item in found] == [
        ("hopper", {Part.GROUND_TRUTH: 1}),
        ("grace", {Part.GROUND_TRUTH: 1}),
    ]
    first, second = (item.run.import_id for item in reversed(found))
    assert (await world.undoer().preview(Undo(first, "ada", AT))) == {Effect.CHANGED_SINCE: 1}
    await world.undo(Undo(second, "ada", AT))
    # What hopper replaced; then what grace had replaced by both of her corrections.
    truth = (await world.frames.load([FrameId("f1")]))[FrameId("f1")].ground_truth
    assert truth is not None
    assert (truth.revision, len(truth.annotations)) == (5, 2)
