"""What the retriever remembers, and what it lets go."""

from services.contracts.identity import NeedleId
from services.retriever.allocation.needle_cache import NeedleCache
from services.runtime.settings import Settings
from tests import samples
from tests.unit.retriever.test_service import World, found


async def held(world: World) -> list[NeedleId]:
    return [
        record.needle_id
        for record in await NeedleCache(world.needles, Settings().needle_cache_bytes).all()
    ]


async def test_a_retracted_needle_is_held_until_its_shortlist_is_withdrawn_and_published() -> None:
    world = World()
    needle = await found(world)
    await world.run([needle, await world.embed("hay", 0.1)])
    retracted = samples.needle_retracted(needle, 2)
    await world.needles.record([retracted])
    assert await held(world) == [needle.needle_id]
    known = NeedleCache(world.needles, Settings().needle_cache_bytes)
    await known.all()
    await world.run([retracted])
    assert world.shortlists() == [["hay"], []]
    assert await held(world) == []
    await known.refresh([needle.needle_id])
    assert await known.all() == []


async def test_a_needle_that_never_had_a_shortlist_is_let_go_once_it_is_retracted() -> None:
    world = World()
    needle = await found(world)
    await world.run([needle])
    assert await held(world) == [needle.needle_id]
    await world.run([samples.needle_retracted(needle, 2)])
    assert await held(world) == []
    await world.run([needle.model_copy(update={"revision": 3})])
    assert await held(world) == [needle.needle_id]
    await world.run([await world.embed("hay", 0.1)])
    assert world.shortlists() == [["hay"]]
