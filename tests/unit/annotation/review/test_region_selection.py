"""The map as the browser gets it, and the regions that a person circles."""

import base64

import numpy as np
import pytest

from services.annotation.review.region_selection import circled, columns, outline_of
from services.contracts.identity import Category, DetectorId, FrameId, RegionId
from services.domain.ports.region_maps import MappedRegion

BOX = (1.0, 2.0, 3.0, 4.0)


def region(
    x: float, y: float, category: str = "a", score: float = 0.5, tags: str = ""
) -> MappedRegion:
    return MappedRegion(
        x,
        y,
        RegionId(f"{x},{y}"),
        FrameId("f"),
        DetectorId("d@1"),
        Category(category),
        score,
        BOX,
        "haystack",
        "v1",
        tags=tags,
    )


def test_regions_inside_an_outline_are_circled_highest_score_first() -> None:
    outline = outline_of("0,0 4,0 4,4 2,1 0,4")  # with a notch from above
    assert outline is not None
    regions = [region(1, 1, score=0.2), region(3.5, 2, score=0.9), region(2, 3), region(5, 1)]

    found = circled(regions, outline)

    assert [(item.x, item.y) for item in found] == [(3.5, 2), (1, 1)]
    assert circled([], outline) == []


@pytest.mark.parametrize("text", ["", "0,0 1,1", "0,0 1,1 nan,2", "0,0 1,1 2", "0,0 " * 401])
def test_an_address_without_an_outline_is_none(text: str) -> None:
    assert outline_of(text) is None


def test_columns_name_the_most_frequent_values_and_hold_a_place_for_each_region() -> None:
    names = [f"c{k:02}" for k in range(14)]
    regions = [region(k, -k, names[k % 14], 1.0) for k in range(30)]

    found = columns(regions)

    places = np.frombuffer(base64.b64decode(found["places"]), "<f4").reshape(-1, 2)
    assert places[7].tolist() == [7, -7]
    assert set(base64.b64decode(found["scores"])) == {255}
    category = found["colours"]["category"]
    assert category["names"] == [*names[:12], "other"]
    assert [*base64.b64decode(category["codes"])][:15] == [*range(12), 12, 12, 0]
    assert found["colours"]["error"]["names"] == []
    assert set(base64.b64decode(found["colours"]["error"]["codes"])) == {255}


def test_regions_are_coloured_by_the_tags_of_their_frames_that_differ() -> None:
    tags = ["camera=a\nweather=rain", "camera=a\nweather=a=b", "camera=a", "camera=a", ""]

    colours = columns([region(k, 0, tags=text) for k, text in enumerate(tags)])["colours"]

    assert [name for name in colours if name.startswith("tag:")] == ["tag:weather"]
    assert colours["tag:weather"]["names"] == ["a=b", "rain"]
    assert [*base64.b64decode(colours["tag:weather"]["codes"])] == [1, 0, 255, 255, 255]
