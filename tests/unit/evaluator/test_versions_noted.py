"""Consecutive versions are compared for the page and the dashboard."""

from collections.abc import Mapping

import orjson

from services.app.versions_noted import consecutive_versions, note_comparisons
from services.contracts.identity import DetectorId
from services.domain.ports.comparisons import Versions
from services.evaluator.reports.gauges import show_version_changes
from services.runtime.observability import detector_metrics
from tests.unit.evaluator.test_confidence import read
from tests.unit.evaluator.test_versions import GHOST, NEW, OLD, World


class InMemoryComparisons:
    """Comparisons in memory."""

    def __init__(self) -> None:
        self.content: Mapping[Versions, bytes] = {}

    async def show(self, comparisons: Mapping[Versions, bytes]) -> None:
        self.content = comparisons

    async def all(self) -> dict[Versions, bytes]:
        return dict(self.content)


def test_versions_follow_each_other_by_their_numbers_and_the_latest_pairs_count() -> None:
    names = ["a@10", "b@1", *(f"a@{number}" for number in (9, 11, 2, 1)), "c@x", "c@2"]
    assert consecutive_versions(map(DetectorId, names)) == [
        ("a@2", "a@9"),
        ("a@9", "a@10"),
        ("a@10", "a@11"),
        ("c@2", "c@x"),
    ]
    assert consecutive_versions([]) == []


async def test_each_version_is_compared_with_the_one_before_and_shown_without_frames() -> None:
    world, store = World(), InMemoryComparisons()
    for k in range(7):
        await world.put(f"f{k}", (GHOST,), ())
    later = DetectorId("ods@3")  # it has processed nothing
    show_version_changes(await note_comparisons(store, world.versions(), [later, NEW, OLD]))

    ((pair, content),) = store.content.items()
    assert pair == (OLD, NEW)
    assert orjson.loads(content)["families"][0]["improved_frames"] == []
    fixed = {"detector": NEW, "other": OLD, "change": "fixed"}
    assert read(detector_metrics.VERSION_FAMILIES, **fixed) == 1
    assert (
        read(detector_metrics.VERSION_MAP_DIFFERENCE, detector=NEW, other=OLD, bound="value")
        is None
    )

    show_version_changes(await note_comparisons(store, world.versions(), [later]))
    assert store.content == {}
    assert read(detector_metrics.VERSION_FAMILIES, **fixed) is None
