"""Which vectors retention deletes, and at which rate."""

from services.app.retention.old_vectors import VectorSweeper
from services.contracts.events import PredictionsMade
from services.contracts.identity import FrameId, ModelId
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, collection_of
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.vectors import InMemoryVectors
from tests.unit.erasure.test_retention import OldRecords

DAY_S = 86_400.0
OLD, LIVE, FILLED = (ModelId(name) for name in ("old", "live", "filled"))
FRAMES = [FrameId(f"f{number}") for number in range(5)]


def made_of(frame_id: FrameId) -> PredictionsMade:
    return samples.predictions_made(samples.detection(), frame_id=frame_id)


class World:
    """Five frames that two models have embedded; searches use the second."""

    def __init__(self, *, days: float = 30.0, used: ModelId = LIVE) -> None:
        self.clock = FakeClock()
        self.embeddings = InMemoryEmbeddings(self.clock)
        self.vectors = InMemoryVectors()
        self.sweeper = VectorSweeper(
            OldRecords([]),
            self.embeddings,
            self.vectors,
            {used},
            settings=Settings(retain_vectors_days=days, retention_per_minute=2),
            clock=self.clock,
        )

    async def embed(self, model: ModelId) -> None:
        for alias in (FRAME_VECTORS, REGION_VECTORS):
            await self.vectors.ensure(collection_of(alias, model), 3, keywords=[], numbers=[])
        await self.embeddings.record(
            [samples.frame_embedded(made_of(frame), model) for frame in FRAMES]
        )

    async def use(self, model: ModelId) -> None:
        aliases = (FRAME_VECTORS, REGION_VECTORS)
        await self.vectors.alias({alias: collection_of(alias, model) for alias in aliases})

    async def held(self, model: ModelId) -> tuple[int, int]:
        """Numbers of frames that are recorded as embedded, and of collections."""
        recorded = await self.embeddings.embedded_frames(model, None, 100)
        there = await self.vectors.collections()
        return len(recorded), sum(name.endswith(f"-{model}") for name in there)


async def replaced(world: World) -> World:
    """A day after the old model was replaced."""
    await world.embed(OLD)
    await world.use(OLD)
    assert await world.sweeper.sweep() == 0
    world.clock.advance(100 * DAY_S)
    await world.embed(LIVE)
    await world.use(LIVE)
    assert await world.sweeper.sweep() == 0
    world.clock.advance(DAY_S)
    return world


async def test_vectors_of_a_replaced_model_go_at_a_bounded_rate_once_they_are_old() -> None:
    world = await replaced(World())
    assert await world.sweeper.sweep() == 0
    world.clock.advance(30 * DAY_S)
    assert [await world.sweeper.sweep() for _ in range(3)] == [2, 2, 1]
    # The records go before the vectors that they name.
    assert await world.held(OLD) == (0, 2)
    assert await world.sweeper.sweep() == 0
    assert (await world.held(OLD), await world.held(LIVE)) == ((0, 0), (5, 2))


async def test_vectors_are_kept_unless_a_setting_says_otherwise() -> None:
    world = await replaced(World(days=0.0))
    world.clock.advance(1000 * DAY_S)
    assert await world.sweeper.sweep() == 0
    assert await world.held(OLD) == (5, 2)


async def test_a_model_that_is_live_again_keeps_what_it_has() -> None:
    world = await replaced(World())
    world.clock.advance(30 * DAY_S)
    assert await world.sweeper.sweep() == 2
    await world.use(OLD)
    assert [await world.sweeper.sweep() for _ in range(3)] == [0, 0, 0]
    assert await world.held(OLD) == (3, 2)
    # The other model's age begins now.
    assert await world.held(LIVE) == (5, 2)


async def test_a_model_that_is_filled_is_kept() -> None:
    world = await replaced(World(used=FILLED))
    await world.embed(FILLED)
    world.clock.advance(29 * DAY_S)
    await world.embed(OLD)
    world.clock.advance(2 * DAY_S)
    assert await world.sweeper.sweep() == 0
    assert await world.held(OLD) == (5, 2)
    world.clock.advance(60 * DAY_S)
    while await world.sweeper.sweep():
        pass
    # The process embeds with this one, although no frame came for months.
    assert (await world.held(OLD), await world.held(FILLED)) == ((0, 0), (5, 2))


async def test_what_is_filled_while_it_is_forgotten_is_not_dropped() -> None:
    world = await replaced(World())
    world.clock.advance(30 * DAY_S)
    assert [await world.sweeper.sweep() for _ in range(2)] == [2, 2]
    await world.embeddings.record([samples.frame_embedded(made_of(FRAMES[0]), OLD)])
    assert [await world.sweeper.sweep() for _ in range(3)] == [1, 0, 0]
    assert await world.held(OLD) == (1, 2)
