"""Frames that shortlists have because they were drawn by chance."""

import itertools
import random
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from services.contracts.events import Event, Sampling, Split
from services.contracts.identity import DriveId, FrameId
from services.contracts.needles import Candidate
from services.domain.shortlists.drawn_frames import inclusion_probability, is_drawn
from services.runtime.settings import Settings
from tests import samples
from tests.unit.retriever.test_service import World

SHARES = {"sampled_share": 0.8, "shortlist_budget": 0.5, "shortlist_size": 3}
FRAMES = 40
NAMES = [f"h{n:02d}" for n in range(FRAMES)]
RULE = Settings().split_rule
REFERENCE = next(
    drive
    for drive in map(DriveId, map(str, itertools.count()))
    if RULE.split_of(FrameId("needle"), drive) is Split.REFERENCE
)
PROBABILITY = inclusion_probability([0.9], 0.8 * 0.5)


def world_of(**settings: float | str) -> World:
    return World(event_version=2, **SHARES | settings)


async def filled(world: World, rng: random.Random | None = None) -> World:
    """A needle, and frames of which the first look like it."""
    needle = samples.needle_found("needle")
    await world.embed("needle", 0.0, split="reference", drive=REFERENCE)
    events: list[Event] = [needle]
    events += [await world.embed(f"h{n:02d}", 0.05 * n) for n in range(FRAMES)]
    if rng is None:
        await world.run(events)
        return world
    await world.run(events[:1])
    rest = events[1:]
    rng.shuffle(rest)
    cut = rng.randrange(1, len(rest))
    for batch in (rest[:cut], rest[cut:]):
        await world.run(batch)
    return world


def candidates(world: World) -> list[Candidate]:
    return [item for of in world.latest().values() for item in of.candidates]


def drawn(world: World) -> dict[FrameId, Sampling]:
    return {item.frame_id: item.sampling for item in candidates(world) if item.sampling}


def chosen(world: World) -> set[FrameId]:
    return {item.frame_id for item in candidates(world) if item.sampling is None}


def expected(names: Sequence[str] = NAMES) -> set[FrameId]:
    """The frames whose permanent number is below their probability."""
    frames = map(FrameId, names)
    return {
        frame
        for frame in frames
        if is_drawn("shortlists-0", frame, PROBABILITY)
        and RULE.split_of(frame, DriveId(f"drive-of-{frame}")) is Split.HAYSTACK
    }


async def test_drawn_frames_are_listed_with_their_probability_whatever_their_evidence() -> None:
    world = await filled(world_of())
    assert chosen(world)
    assert set(drawn(world)) == expected() - chosen(world)
    assert set(drawn(world).values()) == {
        Sampling(campaign="shortlists-0", probability=PROBABILITY)
    }
    assert {item.evidence for item in candidates(world) if item.sampling} == {0.0}
    (shortlist,) = world.latest().values()
    assert shortlist.chosen_frames() == chosen(world)


async def test_which_frames_are_chosen_does_not_depend_on_those_drawn() -> None:
    """Chosen frames have the rest of the budget: 20 frames, of which 16 are for draws."""
    world = await filled(world_of(shortlist_size=20))
    alone = await filled(World(event_version=2, shortlist_budget=0.1, shortlist_size=4))
    assert chosen(world) == chosen(alone)
    assert not drawn(alone)


@pytest.mark.parametrize("seed", range(4))
async def test_the_same_frames_are_drawn_in_any_order_and_after_a_restart(seed: int) -> None:
    world = await filled(world_of(), random.Random(seed))
    assert set(drawn(world)) == expected() - chosen(world)
    before = world.shortlists()
    await world.run([await world.embed("new", 3.0)], world.retriever())
    assert set(drawn(world)) - {FrameId("new")} == expected() - chosen(world)
    assert len(world.shortlists()) - len(before) <= 1


async def test_a_drawn_frame_stays_once_it_is_annotated_and_moves_with_its_probability() -> None:
    world = await filled(world_of())
    frame = min(drawn(world))
    await world.run([await world.correct(frame, right=True)])
    assert frame in drawn(world)
    other = await world.embed("other", 0.01, split="reference", drive=REFERENCE)
    needle = samples.needle_found("other")
    await world.run([other, needle])
    await world.run([samples.needle_retracted(samples.needle_found("needle"), 2)])
    assert drawn(world)[frame].probability == PROBABILITY
    assert set(drawn(world)) == expected() - chosen(world)


async def test_a_larger_share_draws_among_frames_that_are_there_already() -> None:
    world = await filled(World(event_version=2, shortlist_budget=0.5, shortlist_size=3))
    assert not drawn(world)
    again = world_of()
    for name in ("frames", "matches", "needles", "epochs", "models", "vectors", "outbox"):
        setattr(again, name, getattr(world, name))
    step = again.retriever()
    await again.run([await again.embed("new", 3.0)], step)
    assert set(drawn(again)) - {FrameId("new")} == expected() - chosen(again)


async def test_a_drawn_frame_that_lost_its_region_leaves() -> None:
    world = await filled(world_of())
    frame = min(drawn(world))
    empty = samples.predictions_made(frame_id=frame, revision=2)
    await world.frames.record([empty])
    await world.run([samples.frame_embedded(empty)])
    assert frame not in drawn(world)


async def test_frames_that_no_epoch_has_are_drawn_when_a_detector_is_read_again() -> None:
    world = await filled(world_of())
    # As another process consumes events before it knows the detector.
    late = [f"late{n}" for n in range(FRAMES)]
    for name in late:
        await world.embed(name, 3.0)
    needle = await world.embed("other", 0.01, split="reference", drive=REFERENCE)
    await world.run([needle, samples.needle_found("other")])
    await world.run([needle])
    assert set(drawn(world)) == (expected() | expected(late)) - chosen(world)


def test_probabilities_are_near_the_rate_and_higher_where_the_detector_is_unsure() -> None:
    sure, unsure = (inclusion_probability([s] * 5, 0.02) for s in (0.99, 0.6))
    assert 0.015 <= inclusion_probability([], 0.02) < sure < unsure <= 0.03
    assert inclusion_probability([0.6] * 1000, 0.02) == pytest.approx(0.03)
    assert inclusion_probability([0.6] * 1000, 0.9) == 1.0


def test_frames_are_drawn_as_often_as_their_probability_says() -> None:
    frames = [FrameId(f"f{n}") for n in range(20_000)]
    for probability in (0.05, 0.3):
        share = sum(is_drawn("c", frame, probability) for frame in frames) / len(frames)
        assert share == pytest.approx(probability, abs=0.01)
    assert all(is_drawn("c", frame, 0.3) for frame in frames if is_drawn("c", frame, 0.05))


def test_draws_need_events_that_carry_their_probabilities() -> None:
    with pytest.raises(ValidationError, match="GAZELOOP_EVENT_VERSION=2"):
        Settings(event_version=1, sampled_share=0.1)
