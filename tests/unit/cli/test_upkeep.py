"""What ingest's background work shows of stored data."""

from services.app.upkeep import note_unknown, unknown_counted
from services.contracts.identity import Category, DetectorId
from services.domain.ports.category_maps import UnknownCategory
from services.runtime.observability import metrics
from tests.fakes.category_maps import InMemoryCategoryMaps
from tests.fakes.clock import FakeClock
from tests.unit.runtime.test_metrics import value

NAME = "gazeloop_unknown_categories"


def unknown(detector: str, category: str) -> UnknownCategory:
    return UnknownCategory(DetectorId(detector), Category(category), frames=3)


def test_unknown_categories_are_counted_per_detector_until_they_are_mapped() -> None:
    note_unknown([unknown("up@1", "a"), unknown("up@1", "b"), unknown("up@2", "a")])
    assert (value(NAME, detector="up@1"), value(NAME, detector="up@2")) == (2, 1)
    note_unknown([unknown("up@2", "a")])
    assert (value(NAME, detector="up@1"), value(NAME, detector="up@2")) == (0, 1)


async def test_unknown_categories_are_not_shown_by_a_process_that_lost_the_job() -> None:
    async with unknown_counted(InMemoryCategoryMaps(), FakeClock()):
        note_unknown([unknown("up@3", "a")])
        assert value(NAME, detector="up@3") == 1
    assert not next(iter(metrics.UNKNOWN_CATEGORIES.collect())).samples
