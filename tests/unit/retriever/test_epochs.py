"""Epochs of the retriever: what is listed in them, what stays, and what a replay gives."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.contracts.codec import encode
from services.contracts.errors import StoreUnavailable
from services.contracts.events import Event
from services.contracts.identity import FrameId, ModelId
from services.contracts.needles import NeedleFound, ShortlistPublished
from services.domain.shortlists import epochs
from services.domain.shortlists.epochs import MIN_EARLY_EXAMPLES, WINDOW
from services.retriever.allocation import detector_allocator
from services.retriever.learning.learner import Learned, Learner
from services.runtime.consumed import consuming
from services.runtime.kafka.records import Parsed, Record
from services.runtime.settings import Settings
from tests import samples
from tests.unit.retriever.test_service import World, found


def at_offset(offset: int, event: Event) -> Parsed:
    return Parsed(Record("gaze.needles", 0, offset, b"", b"", None, ()), None, event)


async def delivered(world: World, events: Sequence[Event], offset: int) -> None:
    """Close an epoch with these events, the last of which has this offset."""
    with consuming([at_offset(offset, event) for event in events]):
        await world.step.run(events)


async def test_frames_wait_while_what_is_known_grows_and_are_listed_without_events() -> None:
    world = World()
    await world.step.run([await found(world), await world.embed("j0", 0.1)])
    for number in range(1, 4):
        await world.step.run([await world.embed(f"j{number}", 0.1 + 0.1 * number)])
        assert world.shortlists() == []
    assert await world.step.settle()
    assert world.shortlists() == [["j0", "j1", "j2", "j3"]]
    assert not await world.step.settle()


async def test_frames_are_listed_while_events_arrive_once_growth_has_slowed_down() -> None:
    world = World(shortlist_early=0.0)
    needle = await found(world)
    await world.step.run([needle, await world.embed("j0", 0.1)])
    for _ in range(WINDOW):
        assert world.shortlists() == []
        await world.step.run([needle])
    assert world.shortlists() == [["j0"]]


@pytest.mark.parametrize("restarted", [False, True])
async def test_part_of_the_budget_is_listed_in_the_first_minute_of_a_stream_and_stays(
    restarted: bool,
) -> None:
    world = World(shortlist_size=2, shortlist_budget=0.5, shortlist_early=0.5)
    for number in range(MIN_EARLY_EXAMPLES):
        await world.example(f"right{number}", 1.4, right=True)
    await world.step.run([await found(world)])
    for number in range(WINDOW - 2):
        await world.step.run([await world.embed(f"j{number}", 0.9 - 0.01 * number)])
        assert world.shortlists() == []
    last = await world.embed("best", 0.1)
    if restarted:
        world.step = world.retriever()
    await world.step.run([last])
    (early,) = world.latest().values()
    assert [item.frame_id for item in early.candidates] == ["best", f"j{WINDOW - 3}"]
    await world.run([await found(world, "another", 0.5)])
    assert world.latest()["needle"].candidates == early.candidates
    assert len(world.latest()["another"].candidates) == 2


async def test_nothing_is_listed_early_by_a_model_of_few_examples() -> None:
    world = World(shortlist_budget=0.9, shortlist_early=0.9)
    for number in range(MIN_EARLY_EXAMPLES - 1):
        await world.example(f"right{number}", 1.4, right=True)
    await world.step.run([await found(world)])
    for number in range(WINDOW):
        await world.step.run([await world.embed(f"j{number}", 0.1)])
    assert world.shortlists() == []


async def test_the_epoch_without_events_comes_after_a_pause() -> None:
    world = World()
    await world.step.run([await found(world), await world.embed("j0", 0.1)])
    await quiet(world, WINDOW - 1)
    assert world.shortlists() == []
    await quiet(world, 1)
    assert world.shortlists() == [["j0"]]


async def quiet(world: World, epochs_long: int) -> None:
    """No events come for so many epochs."""
    for _ in range(epochs_long):
        world.clock.advance(Settings().epoch_s)
        await world.step.settle_when_due()


async def test_a_process_that_was_blocked_for_long_does_not_take_that_for_a_pause() -> None:
    world = World()
    await world.step.run([await found(world), await world.embed("j0", 0.1)])
    world.clock.advance(WINDOW * Settings().epoch_s)
    await world.step.settle_when_due()
    assert world.shortlists() == []


async def test_a_batch_that_takes_long_is_no_pause() -> None:
    world = World()
    await world.step.run([await found(world)])
    world.epochs.blocked = asyncio.Event()
    batch = asyncio.create_task(world.step.run([await world.embed("j0", 0.1)]))
    await world.epochs.is_closing.wait()
    await quiet(world, WINDOW - 1)
    ticking = asyncio.create_task(quiet(world, 1))
    await asyncio.wait([ticking], timeout=0)
    world.epochs.blocked.set()
    await asyncio.gather(batch, ticking)
    assert world.shortlists() == []


async def narrow() -> World:
    """One frame may be listed in all, and this one is."""
    world = World(shortlist_size=1, shortlist_budget=0.01)
    await world.run([await found(world), await world.embed("first", 0.5)])
    assert world.shortlists() == [["first"]]
    return world


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_listed_frame_stays_when_a_better_one_comes(restarted: bool) -> None:
    world = await narrow()
    step = world.retriever() if restarted else world.step
    await world.run([await world.embed("better", 0.1)], step)
    assert world.shortlists() == [["first"]]


async def annotations_of_right(world: World) -> list[Event]:
    """Annotations after which a frame at .7 has no evidence."""
    return [await world.example(f"right{n}", 0.75, right=True) for n in range(3)]


@pytest.mark.parametrize("opened", ["needle", "frame"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_what_an_annotator_has_opened_stays_without_evidence(
    opened: str, restarted: bool
) -> None:
    world = World()
    needle = await found(world)
    await world.run([needle, await world.embed("hay", 0.7)])
    if opened == "needle":
        world.openings.needles.add(needle.needle_id)
    else:
        world.openings.frames.add(FrameId("hay"))
    step = world.retriever() if restarted else world.step
    await world.run(await annotations_of_right(world), step)
    assert world.shortlists() == [["hay"]]


async def epoch_after_epoch(seed: int, rng: random.Random, *, early: float = 0.0) -> World:
    """Ten epochs of needles, haystack frames, annotations and verdicts; `rng` shuffles each."""
    world = World(shortlist_size=3, shortlist_budget=0.4, shortlist_early=early)
    story = random.Random(seed)
    for number in range(10):
        events: list[Event] = []
        for place in range(story.randint(1, 4)):
            name = f"{number}-{place}"
            kind = story.choice(["needle", "hay", "hay", "right", "wrong"])
            angle = story.uniform(0.0, 1.5)
            match kind:
                case "needle":
                    events.append(await found(world, f"needle{name}", angle))
                case "hay":
                    events.append(await world.embed(f"hay{name}", angle))
                case _:
                    right = kind == "right"
                    events.append(await world.example(f"{kind}{name}", angle, right=right))
        listed = [frame for frames in world.shortlists()[-1:] for frame in frames]
        if listed and story.random() < 0.5:
            events.append(await world.correct(story.choice(listed), right=story.random() < 0.5))
        await delivered(world, rng.sample(events, len(events)), number)
        if story.random() < 0.5:
            await world.step.settle()
    await world.run([])
    return world


def published(world: World) -> list[bytes]:
    events = world.outbox.published
    return [encode(event) for event in events if isinstance(event, ShortlistPublished)]


@pytest.mark.parametrize("seed", range(8))
async def test_the_same_epochs_give_the_same_shortlists_whatever_the_order_inside(
    seed: int,
) -> None:
    first, second = [await epoch_after_epoch(seed, random.Random(n)) for n in (1, 2)]
    assert published(first) == published(second)
    assert await first.epochs.of(samples.DETECTOR) == await second.epochs.of(samples.DETECTOR)


async def imported(seed: int, rng: random.Random) -> World:
    """An import in which each event comes once, in any order and in epochs of any length."""
    world = World(shortlist_size=3, shortlist_budget=0.4, shortlist_early=0.0)
    story = random.Random(seed)
    events: list[Event] = []
    for number in range(12):
        events.append(await found(world, f"needle{number}", story.uniform(0.0, 1.5)))
        names = [f"hay{number}-{place}" for place in range(3)]
        events += [await world.embed(name, story.uniform(0.0, 1.5)) for name in names]
        right = story.random() < 0.5
        events.append(await world.example(f"example{number}", story.uniform(0.0, 1.5), right=right))
    rng.shuffle(events)
    while events:
        count = rng.randint(1, 12)
        await world.step.run(events[:count])
        del events[:count]
        if rng.random() < 0.2:
            world.step = world.retriever()
    await world.run([])
    return world


@pytest.mark.parametrize("seed", range(6))
async def test_an_import_is_listed_alike_whatever_its_epochs_and_whoever_was_killed(
    seed: int,
) -> None:
    worlds = [await imported(seed, random.Random(n)) for n in range(3)]
    first, *others = [
        {name: item.candidates for name, item in world.latest().items()} for world in worlds
    ]
    assert first
    assert others == [first, first]


@pytest.mark.parametrize("seed", [0, 2, 3])
async def test_frames_that_are_listed_early_do_not_depend_on_the_order_inside_epochs(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(epochs, "WINDOW", 3)
    monkeypatch.setattr(detector_allocator, "MIN_EARLY_EXAMPLES", 1)
    first, second = [await epoch_after_epoch(seed, random.Random(n), early=0.5) for n in (1, 2)]
    assert published(first) == published(second)
    recorded = await first.epochs.of(samples.DETECTOR)
    assert recorded == await second.epochs.of(samples.DETECTOR)
    assert any(0 < epoch.released < epoch.budget for epoch in recorded)


async def test_an_epoch_records_what_it_was_allocated_from() -> None:
    world = World()
    needle = await found(world)
    await delivered(world, [needle, await world.embed("j0", 0.1)], 6)
    await world.step.settle()
    await delivered(world, [needle], 7)
    epochs = await world.epochs.of(samples.DETECTOR)
    assert [epoch.offsets for epoch in epochs] == [
        {"gaze.needles/0": 7},
        {"gaze.needles/0": 7},
        {"gaze.needles/0": 8},
    ]
    assert [epoch.settled for epoch in epochs] == [False, True, False]
    assert [epoch.sizes[-1].haystack for epoch in epochs] == [1, 1, 1]
    assert all(epoch.budget == Settings().shortlist_size for epoch in epochs)
    (model,) = epochs[-1].models.values()
    assert epochs[1].models == {samples.STOP_SIGN: model}
    (shortlist,) = world.latest().values()
    assert shortlist.epoch == 2


async def test_events_that_come_again_beside_later_ones_count_once() -> None:
    world = World()
    first = await world.example("first", 0.5, right=True)
    await delivered(world, [await found(world), first], 0)
    later = await world.example("later", 0.6, right=True)
    # The process ended before it committed; another one has both in one batch.
    world.step = world.retriever()
    with consuming([at_offset(0, first), at_offset(1, later)]):
        await world.step.run([first, later])
    last = (await world.epochs.of(samples.DETECTOR))[-1]
    assert (last.number, last.sizes[-1].observed) == (2, 2)


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_skipped_is_taken_in_when_it_comes_after_later_events(
    restarted: bool,
) -> None:
    world = World()
    await delivered(world, [await found(world), await world.embed("j0", 0.1)], 0)
    skipped, later = await found(world, "skipped", 0.5), await found(world, "later", 0.9)
    await delivered(world, [later], 2)
    if restarted:
        world.step = world.retriever()
    await delivered(world, [skipped], 1)
    await delivered(world, [later], 2)
    assert (await world.needles.load([skipped.needle_id])).keys() == {skipped.needle_id}
    last = (await world.epochs.of(samples.DETECTOR))[-1]
    assert (last.number, last.offsets) == (3, {"gaze.needles/0": 3})


def let_models_wait(monkeypatch: pytest.MonkeyPatch, epochs_long: int) -> None:
    """So many epochs have no time to fit all models."""
    refit, waits = Learner.refit, [True] * epochs_long

    async def with_models_that_wait(*args: Any, **options: Any) -> Learned:
        unfinished = bool(waits) and waits.pop()
        return replace(await refit(*args, **options), unfinished=unfinished)

    monkeypatch.setattr(Learner, "refit", with_models_that_wait)


async def test_frames_wait_while_models_wait_to_be_fitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    await world.step.run([await found(world), await world.embed("j0", 0.1)])
    let_models_wait(monkeypatch, 1)
    await world.step.settle()
    assert world.shortlists() == []
    await world.step.settle()
    assert world.shortlists() == [["j0"]]


async def test_a_frame_that_is_corrected_before_all_models_are_fitted_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    await world.run([await found(world), await world.embed("hay", 0.1)])
    other = ModelId("another")
    await world.embed("needle", 0.0, split="reference", drive="d1", model=other)
    let_models_wait(monkeypatch, 2)
    await world.step.run([await world.embed("hay", 0.1, model=other)])
    await world.step.settle()
    await world.run([await world.correct("hay", right=False)])
    assert world.shortlists()[-1] == ["hay"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_batch_that_is_delivered_again_publishes_what_its_epoch_listed(
    restarted: bool,
) -> None:
    world = World(shortlist_early=0.0)
    needle: NeedleFound = await found(world)
    for number in range(WINDOW):
        await delivered(world, [needle, await world.embed("j0", 0.1)], number)
    world.outbox.failures.append(StoreUnavailable("the broker is away"))
    with pytest.raises(StoreUnavailable):
        await delivered(world, [needle], WINDOW)
    before = await world.epochs.of(samples.DETECTOR)
    assert before[-1].settled
    if restarted:
        world.step = world.retriever()
    await delivered(world, [needle], WINDOW)
    assert await world.epochs.of(samples.DETECTOR) == before
    (shortlist,) = world.latest().values()
    assert shortlist.epoch == before[-1].number
