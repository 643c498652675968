"""A second model that is filled beside the first, on fakes."""

from functools import partial

import pytest

from services.app.erasure.vectors import VectorTraces
from services.app.filling import erase_late
from services.contracts.errors import StoreUnavailable
from services.contracts.events import FrameEmbedded
from services.contracts.identity import FrameId, ModelId, frame_point_id, region_point_id
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, Where, collection_of
from services.embedder.filling import Filled, FillModel
from tests.fakes.embedder import MeanColour
from tests.fakes.tombstones import InMemoryTombstones
from tests.fakes.vectors import InMemoryVectors
from tests.samples import CAPTURED_AT, predictions_made
from tests.unit.embedder.test_service import LAMP, STOP, World

NEW = MeanColour("colour-new")


class Beside(World):
    """A world in which frames are embedded by the live model, and a second one may be filled."""

    async def survey(self, *frame_ids: str) -> None:
        for frame_id in frame_ids:
            made = predictions_made(STOP, LAMP, frame_id=frame_id)
            await self.run(self.captured(frame_id), made)

    def filler(self) -> FillModel:
        return FillModel(self.step(MeanColour("colour-new")), self.embeddings)

    async def points_of(self, model: ModelId) -> int:
        return await self.vectors.count(collection_of(REGION_VECTORS, model), Where())

    def embedded_by(self, model: ModelId) -> list[str]:
        return sorted(
            event.frame_id
            for event in self.outbox.published
            if isinstance(event, FrameEmbedded) and event.model == model
        )


async def test_every_stored_frame_is_embedded_and_searches_stay_where_they_were() -> None:
    world = Beside()
    await world.survey("f1", "f2", "f3")
    live = await world.vectors.aliases()

    filled = await world.filler().fill()

    assert filled == Filled(done=3, captured=3)
    assert await world.points_of(NEW.model_id) == await world.points_of(world.embedder.model_id)
    assert world.embedded_by(NEW.model_id) == ["f1", "f2", "f3"]
    assert await world.vectors.aliases() == live


async def test_what_is_filled_is_not_embedded_again_but_what_comes_meanwhile_is() -> None:
    world = Beside()
    await world.survey("f1", "f2")
    await world.filler().fill()
    await world.survey("f0", "f9")
    await world.run(predictions_made(STOP, frame_id="f1", revision=2))
    again = world.filler()

    filled = await again.fill()

    assert filled == Filled(done=4, captured=4)
    assert world.embedded_by(NEW.model_id) == ["f0", "f1", "f1", "f2", "f9"]


async def test_frames_that_are_erased_while_they_are_embedded_are_erased_behind_them() -> None:
    world = Beside()
    await world.survey("f1", "f2")
    tombstones = InMemoryTombstones()
    # The embedder may have heard of the erasure before the filler has written.
    await tombstones.add([FrameId("f1")], ErasureRequest("ada", "", CAPTURED_AT, ("embedder",)))
    late = partial(erase_late, tombstones, [VectorTraces(world.vectors)])

    await FillModel(world.step(NEW), world.embeddings, late).fill()

    collections = [collection_of(alias, NEW.model_id) for alias in (FRAME_VECTORS, REGION_VECTORS)]
    left = {
        name: [await world.vectors.count(place, Where({"frame_id": name})) for place in collections]
        for name in ("f1", "f2")
    }
    assert left == {"f1": [0, 0], "f2": [1, 2]}


async def test_an_image_that_cannot_be_read_is_named_once_and_its_neighbours_are_filled() -> None:
    world = Beside()
    await world.survey("f1", "f3")
    await world.embeddings.record([world.captured("f2", b"\xff\xd8\xff no picture")])
    filler = world.filler()
    seen: list[Filled] = []

    first = await filler.fill(seen.append)
    second = await filler.fill()

    assert (first.done, first.captured) == (2, 3)
    assert list(first.unreadable) == [FrameId("f2")]
    assert second == first
    assert [progress.done for progress in seen] == [0, 2]


async def test_a_frame_on_which_the_code_fails_is_named_and_its_neighbours_are_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Beside()
    await world.survey("f1", "f2", "f3")
    step = world.step(MeanColour("colour-new"))
    embed = step.embed

    async def failing(frame_ids: list[FrameId]) -> None:
        if "f2" in frame_ids:
            raise ValueError("a stored value that nobody foresaw")
        await embed(frame_ids)

    monkeypatch.setattr(step, "embed", failing)
    filled = await FillModel(step, world.embeddings).fill()

    assert (filled.done, list(filled.unreadable)) == (2, [FrameId("f2")])


async def test_a_filling_that_was_cut_off_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.embedder.filling._AT_ONCE", 1)
    world = Beside()
    await world.survey("f1", "f2", "f3")
    step = world.step(MeanColour("colour-new"))
    embed, calls = step.embed, []

    async def once(frame_ids: list[FrameId]) -> None:
        calls.append(frame_ids)
        if len(calls) == 2:
            raise StoreUnavailable("gone")
        await embed(frame_ids)

    monkeypatch.setattr(step, "embed", once)
    with pytest.raises(StoreUnavailable):
        await FillModel(step, world.embeddings).fill()
    await FillModel(step, world.embeddings).fill()

    assert [list(frame_ids) for frame_ids in calls] == [["f1"], ["f2"], ["f2"], ["f3"]]


async def test_vectors_that_the_store_has_lost_are_made_again() -> None:
    world = Beside()
    await world.survey("f1", "f2", "f3")
    model = world.embedder.model_id
    await world.vectors.delete(
        collection_of(FRAME_VECTORS, model), [frame_point_id(model, FrameId("f1"))]
    )
    record = (await world.embeddings.load([FrameId("f2")]))[FrameId("f2")]
    region = next(iter(record.embedded[model].regions.values()))[0]
    await world.vectors.delete(
        collection_of(REGION_VECTORS, model), [region_point_id(model, region)]
    )
    work = FillModel(world.step(world.embedder), world.embeddings)

    assert await work.recover() == 2
    assert await work.fill() == Filled(done=3, captured=3)

    assert await work.recover() == 0
    assert await world.points_of(model) == 6
    assert sorted(world.embedded_by(model)) == ["f1", "f1", "f2", "f2", "f3"]


async def test_a_store_that_was_emptied_is_filled_and_searched_again() -> None:
    world = Beside()
    await world.survey("f1", "f2")
    world.vectors = InMemoryVectors()
    work = FillModel(world.step(world.embedder), world.embeddings)

    assert await work.recover() == 2
    await work.fill()

    assert await world.points_of(world.embedder.model_id) == 4
    aliases = await world.vectors.aliases()
    assert aliases[REGION_VECTORS] == collection_of(REGION_VECTORS, world.embedder.model_id)


async def test_where_nothing_was_ever_embedded_nothing_is_lost() -> None:
    world = Beside()
    assert await world.filler().recover() == 0
