"""The page of curves, and the frames behind its numbers."""

import csv
import re
from html import unescape
from http import HTTPStatus

from tests.integration.review.conftest import Browser
from tests.review_world import show_curves


def links(page: str) -> list[tuple[str, int]]:
    """The links to frames behind a number, with the number."""
    found = re.findall(r'href="/review(/frames/behind\?[^"]+)">([\d,]+)', page)
    return [(unescape(address), int(number.replace(",", ""))) for address, number in found]


async def test_as_many_are_listed_behind_a_number_as_it_says(ana: Browser) -> None:
    truths = await show_curves(ana.world.stores)
    category = max(truths, key=lambda name: truths[name])
    joint = (await ana.get("/charts/curves?score=0.3")).text
    own = (await ana.get(f"/charts/curves?category={category}")).text

    wet = (await ana.get("/charts/curves?slice=weather=rain&score=0.3")).text
    assert '<option value="weather=rain" selected>' in wet
    assert links(wet) != links(joint)

    numbers = [*links(joint), *links(own), *links(wet)]
    assert len(numbers) > 12
    for address, number in numbers:
        answer = await ana.get(address.replace("behind?", "behind.csv?"))
        rows = [*csv.DictReader(answer.text.splitlines())]
        assert sum(int(row["count"]) for row in rows) == number, address
        page = (await ana.get(address)).text
        frames = {row["frame_id"] for row in rows}
        assert set(re.findall(r'<span class="id">([^<]+)<', page)) == frames


async def test_the_slider_asks_for_the_curves_at_another_score(ana: Browser) -> None:
    await show_curves(ana.world.stores)

    part = (await ana.get("/charts/curves?score=0.71", **{"HX-Request": "true"})).text
    page = (await ana.get("/charts/curves?score=0.71")).text

    assert part.strip().startswith('<div id="curve-part">')
    assert "At score <b>0.71</b>" in part
    assert 'value="0.71"' in page
    assert part.strip() in page


async def test_curves_that_are_not_there_are_not_drawn(ana: Browser) -> None:
    assert "No curves yet" in (await ana.get("/charts/curves")).text
    await show_curves(ana.world.stores)

    assert "No curves yet" in (await ana.get("/charts/curves?subset=S")).text
    page = (await ana.get("/charts/curves?category=nothing&score=7")).text
    assert "There is no curve of <q>nothing</q>" in page
    lost = (await ana.get("/charts/curves?slice=weather=snow")).text
    assert "weather=snow (no curves)" in lost
    assert (await ana.get("/frames/behind?outcome=right")).status_code == HTTPStatus.BAD_REQUEST
    assert "No frames" in (await ana.get("/frames/behind?outcome=right&score=1&detector=e")).text
