"""How much waits to be looked at, and since when."""

import re

from services.annotation.ports.needle_filters import Stage
from tests.integration.review.conftest import Browser
from tests.review_world import World, needle_id_of


async def test_needles_with_a_shortlist_wait_from_when_it_was_written(world: World) -> None:
    queue = await world.stores.needle_lists.queue()
    assert queue.stages == {Stage.OPEN: 3, Stage.STARTED: 0, Stage.DONE: 0, Stage.EXTENDED: 0}
    assert queue.waits_since is not None
    assert 0 <= queue.oldest_wait_s < 3600


async def test_what_somebody_has_begun_waits_no_longer(ana: Browser) -> None:
    lists = ana.world.stores.needle_lists
    before = await lists.queue()
    page = (await ana.get(f"/needles/{needle_id_of(0)}")).text
    region = re.findall(r'form="decide" name="region" value="([^"]+)"', page)[0]
    decision = {"act": "accept", "region": region}
    await ana.post(f"/needles/{needle_id_of(0)}/decisions", decision)
    after = await lists.queue()
    assert after.stages[Stage.OPEN] == before.stages[Stage.OPEN] - 1
