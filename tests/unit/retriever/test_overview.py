import numpy as np

from services.contracts import identity
from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.ports.vectors import REGION_VECTORS, Point, collection_of
from services.retriever.overview import Overview, read_overview
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.fakes.vectors import InMemoryVectors

COLLECTION = collection_of(REGION_VECTORS, samples.MODEL)


class World:
    """Reference frames of one detection each, which a test places in two dimensions."""

    def __init__(self) -> None:
        self.frames = InMemoryFrameStore()
        self.matches = InMemoryMatchStore()
        self.needles = InMemoryNeedleStore()
        self.vectors = InMemoryVectors()

    async def place(self, frame_id: str, angle: float) -> None:
        (region,) = samples.predictions_made(samples.detection(), frame_id=frame_id).region_ids()
        vector = np.array([np.cos(angle), np.sin(angle)], np.float32)
        await self.vectors.ensure(COLLECTION, 2, keywords=(), numbers=())
        await self.vectors.alias({REGION_VECTORS: COLLECTION})
        point = identity.region_point_id(samples.MODEL, region)
        await self.vectors.upsert(COLLECTION, [Point(point, vector, {})])

    async def needle(self, frame_id: str, angle: float) -> None:
        await self.place(frame_id, angle)
        await self.matches.record([samples.frame_matched(frame_id)])
        await self.needles.record([samples.needle_found(frame_id)])

    async def right(self, frame_id: str, angle: float) -> None:
        await self.place(frame_id, angle)
        truth = {"matched": (1,), "errors": (None,), "ground_truths": (1, 0, 1, 0)}
        match = samples.with_rows(samples.frame_matched(frame_id), **truth)
        await self.matches.record([match])

    async def overview(self, **settings: float) -> Overview:
        return await read_overview(
            self.needles,
            self.matches,
            self.frames,
            self.vectors,
            Settings(**settings),  # type: ignore[arg-type]  # pydantic checks
        )


async def test_needles_that_look_alike_are_shown_as_one_family() -> None:
    world = World()
    for name, angle in (("a", 0.0), ("b", 0.1), ("c", 3.0)):
        await world.needle(name, angle)
    overview = await world.overview()
    assert [family.size for family in overview.families] == [2, 1]
    assert {overview.needles[n].frame_id for n in overview.families[0].needles} == {"a", "b"}


async def test_retracted_needles_and_those_without_a_vector_are_left_out() -> None:
    world = World()
    await world.needle("a", 0.0)
    await world.needle("b", 0.1)
    await world.needles.record([samples.needle_retracted(samples.needle_found("b"), 2)])
    await world.needles.record([samples.needle_found("not-embedded")])
    (family,) = (await world.overview()).families
    assert family.size == 1


async def test_a_needle_among_right_regions_is_put_up_for_a_second_look() -> None:
    world = World()
    await world.needle("suspect", 0.0)
    for number in range(5):
        await world.right(f"right{number}", 0.05 * (number + 1))
        await world.needle(f"wrong{number}", 2.0 + 0.1 * number)
    (suspect,) = (await world.overview()).recheck
    assert suspect.needle.frame_id == "suspect"
    assert suspect.suspicion == 0.9


async def test_a_family_is_resolved_once_it_is_answered_and_drives_went_by() -> None:
    world = World()
    await world.needle("a", 0.0)
    needle = samples.needle_found("a")
    await world.needles.write_shortlists([samples.shortlist_published(needle, "hay")])
    answer = FrameAnnotated(
        frame_id=FrameId("hay"), revision=2, annotation_source="reannotation", annotations=()
    )
    await world.frames.record([answer])
    (family,) = (await world.overview()).families
    assert not family.resolved  # no drive since


async def test_nothing_stored_is_nothing_to_read() -> None:
    overview = await World().overview()
    assert (overview.families, overview.recheck) == ((), ())
