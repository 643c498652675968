"""What a change of a category map does to matches and needles, and how frames are matched again."""

from datetime import UTC, datetime

import pytest

from services.app.categories.rematching import Rematcher
from services.contracts.errors import BrokerUnavailable
from services.contracts.events import ErrorType, PredictionsMade
from services.contracts.identity import Category
from services.contracts.matches import FrameMatched
from services.contracts.needles import NeedleFound, NeedleRetracted
from services.domain.ports.category_maps import MapScope
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.outbox import InMemoryOutbox
from tests.unit.fp_miner.test_service import World

AT = datetime(2026, 5, 4, tzinfo=UTC)
SCOPE = MapScope("ods")
STOP, SIGN = Category("stop_sign"), samples.STOP_SIGN


@pytest.fixture
async def world() -> World:
    world = World(reference_share=0.99)
    for frame_id in ("f1", "f2", "f3"):
        await world.run(
            samples.frame_captured(frame_id),
            samples.frame_annotated(samples.annotation(SIGN), frame_id=frame_id),
            samples.predictions_made(samples.detection(STOP), frame_id=frame_id),
        )
    return world


async def change(world: World, names: dict[Category, Category | None]) -> None:
    await world.frames.maps.change(SCOPE, names, "ada", AT, ())


async def rematched(world: World, outbox: InMemoryOutbox) -> list[object]:
    """What fp_miner publishes for the predictions that a sweep publishes again."""
    before = len(outbox.published)
    await Rematcher(world.frames.maps, world.frames, outbox).sweep()
    return [*await world.run(*outbox.published[before:])]


def groups_of(match: object) -> dict[str, tuple[int, int]]:
    """For each category of a match, the numbers of its detections and ground truths."""
    assert isinstance(match, FrameMatched)
    found = match.groups.by_category().items()
    return {name: (len(rows.scores), rows.ground_truths[0]) for name, rows in found}


async def test_a_mapped_name_matches_and_its_needles_are_retracted(world: World) -> None:
    await change(world, {STOP: SIGN})
    published = await rematched(world, InMemoryOutbox())
    matches = [event for event in published if isinstance(event, FrameMatched)]
    assert [groups_of(match) for match in matches] == 3 * [{SIGN: (1, 1), STOP: (0, 0)}]
    assert {match.revision for match in matches} == {3}
    assert len({e.needle_id for e in published if isinstance(e, NeedleRetracted)}) == 3
    assert not any(isinstance(event, NeedleFound) for event in published)


async def test_an_ignored_category_neither_counts_nor_has_needles(world: World) -> None:
    await change(world, {STOP: None})
    published = await rematched(world, InMemoryOutbox())
    assert groups_of(published[0]) == {SIGN: (0, 1), STOP: (0, 0)}
    assert not any(isinstance(event, NeedleFound) for event in published)


async def test_a_needle_that_only_changes_its_category_keeps_its_id(world: World) -> None:
    needles = {e.needle_id for e in world.outbox.published if isinstance(e, NeedleFound)}
    await change(world, {STOP: Category("halt")})
    published = await rematched(world, InMemoryOutbox())
    found = [event for event in published if isinstance(event, NeedleFound)]
    assert {needle.needle_id for needle in found} == needles
    assert {needle.category for needle in found} == {"halt"}
    await change(world, {STOP: SIGN})
    again = await rematched(world, InMemoryOutbox())
    retracted = [event.needle_id for event in again if isinstance(event, NeedleRetracted)]
    assert sorted(retracted) == sorted(needles)


async def test_needles_and_misses_follow_an_operating_score_after_a_rematch() -> None:
    world = World(reference_share=0.99, mine_misses="true", event_version=2)
    hit = samples.detection(SIGN, score=0.6)
    await world.run(
        samples.frame_captured(),
        samples.frame_annotated(samples.annotation(SIGN)),
        samples.predictions_made(hit, samples.detection(STOP, score=0.6, bbox=(300, 0, 20, 20))),
    )
    (needle,) = [e for e in world.outbox.published if isinstance(e, NeedleFound)]
    assert needle.category == STOP
    both = f"{STOP}=.7,ods@1:{SIGN}=.7"
    world.settings = Settings.model_validate(
        {**world.settings.model_dump(), "operating_score_of": both}
    )
    await world.frames.maps.rematch(SCOPE, "ada", AT)
    published = await rematched(world, InMemoryOutbox())
    (missed,) = [event for event in published if isinstance(event, NeedleFound)]
    assert (missed.error_type, missed.category) == (ErrorType.MISSED, SIGN)
    (retracted,) = [event for event in published if isinstance(event, NeedleRetracted)]
    assert retracted.needle_id == needle.needle_id
    assert retracted.revision > needle.revision


@pytest.mark.parametrize("acknowledged", [0, 1, 2, 3])
async def test_an_interrupted_rematch_goes_on(
    world: World, acknowledged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.app.categories.rematching._AT_ONCE", 1)
    await change(world, {STOP: SIGN})
    outbox = InMemoryOutbox()
    publish = outbox.publish

    async def failing(events: list[PredictionsMade]) -> None:
        if len(outbox.published) == acknowledged:
            raise BrokerUnavailable("away")
        await publish(events)

    rematcher = Rematcher(world.frames.maps, world.frames, outbox)
    monkeypatch.setattr(outbox, "publish", failing)
    with pytest.raises(BrokerUnavailable):
        await rematcher.sweep()
    monkeypatch.setattr(outbox, "publish", publish)
    await rematcher.sweep()
    assert [e.frame_id for e in outbox.published if isinstance(e, PredictionsMade)] == [
        "f1",
        "f2",
        "f3",
    ]
    assert await rematcher.sweep() == 0
