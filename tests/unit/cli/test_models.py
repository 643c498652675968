"""Which model searches use, and how that changes."""

import pytest

from services.app.models import Models, read_models, use
from services.contracts.errors import InvalidSettings
from services.contracts.identity import ModelId
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, collection_of
from tests import samples
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.vectors import InMemoryVectors

OLD, NEW = ModelId("net-a-3d"), ModelId("net-b-3d")


class World:
    """Two models with collections; the old one is live."""

    def __init__(self) -> None:
        self.embeddings = InMemoryEmbeddings()
        self.vectors = InMemoryVectors()
        self.outbox = InMemoryOutbox()

    async def prepare(self, frames: int, *, by_new: int) -> None:
        for model in (OLD, NEW):
            for alias in (FRAME_VECTORS, REGION_VECTORS):
                await self.vectors.ensure(collection_of(alias, model), 3, keywords=(), numbers=())
        await self.vectors.alias(
            {alias: collection_of(alias, OLD) for alias in (FRAME_VECTORS, REGION_VECTORS)}
        )
        for number in range(frames):
            made = samples.predictions_made(samples.detection(), frame_id=f"f{number}")
            await self.embeddings.record([samples.frame_captured(f"f{number}"), made])
            await self.embeddings.record([samples.frame_embedded(made, OLD)])
            if number < by_new:
                await self.embeddings.record([samples.frame_embedded(made, NEW)])

    async def read(self) -> Models:
        return await read_models(self.vectors, self.embeddings)


async def test_every_model_says_how_many_frames_it_lacks() -> None:
    world = World()
    await world.prepare(5, by_new=2)

    found = await world.read()

    assert found.captured == 5
    assert [(model.model_id, model.live, model.done, model.lacking) for model in found.models] == [
        (OLD, True, 5, 0),
        (NEW, False, 2, 3),
    ]


async def test_both_aliases_move_and_the_retriever_is_told_of_a_frame() -> None:
    world = World()
    await world.prepare(2, by_new=2)

    await use(NEW, world.vectors, world.embeddings, world.outbox)

    assert await world.vectors.aliases() == {
        alias: collection_of(alias, NEW) for alias in (FRAME_VECTORS, REGION_VECTORS)
    }
    assert world.outbox.published == [await world.embeddings.one(NEW)]
    live = (await world.read()).live
    assert live is not None
    assert live.model_id == NEW


@pytest.mark.parametrize("name", ["net-b-3d", "b"])
async def test_a_part_of_an_id_names_a_model(name: str) -> None:
    world = World()
    await world.prepare(1, by_new=1)

    # "b" is in "net-b-3d" alone.
    assert (await world.read()).named(name).model_id == NEW


@pytest.mark.parametrize(("name", "message"), [("net", "several"), ("resnet50", "net-a-3d")])
async def test_a_name_that_is_of_no_model_or_of_two_is_refused_with_those_there_are(
    name: str, message: str
) -> None:
    world = World()
    await world.prepare(1, by_new=1)

    with pytest.raises(InvalidSettings, match=message):
        (await world.read()).named(name)
