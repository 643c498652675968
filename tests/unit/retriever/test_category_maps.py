"""What the retriever lists where the detector's category names stand for others."""

from datetime import UTC, datetime

from services.contracts.events import Event
from services.contracts.identity import Category
from services.domain.ports.category_maps import MapScope
from tests import samples
from tests.unit.retriever.test_service import World

AT = datetime(2026, 5, 4, tzinfo=UTC)
HALT = Category("halt")


async def listed_by(names: dict[Category, Category | None]) -> list[tuple[str, str]]:
    """Frames and categories on the shortlist of a needle that was matched by these names."""
    world = World()
    await world.frames.maps.change(MapScope("ods"), names, "ada", AT, ())
    embedded: list[Event] = [await world.embed(name, 0.1) for name in ("h1", "h2")]
    await world.embed("needle", 0.0, split="reference", drive="d1")
    own = samples.needle_found("needle")
    category = names.get(own.category) or HALT
    await world.run([*embedded, own.model_copy(update={"category": category})])
    latest = world.latest().get("needle")
    return [(item.frame_id, item.category) for item in latest.candidates] if latest else []


async def test_the_haystack_is_searched_by_the_detectors_names() -> None:
    assert sorted(await listed_by({samples.STOP_SIGN: HALT})) == [("h1", HALT), ("h2", HALT)]


async def test_ignored_regions_are_not_listed() -> None:
    assert await listed_by({samples.STOP_SIGN: None}) == []
