"""What the review page shows of frames in which categories are redacted."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from services.annotation.review.pictures import PictureCache
from services.domain.redaction import RedactionRule
from services.runtime.images import ImageLimits
from services.runtime.shown_images import ShownImages
from tests.integration.review.conftest import Browser, served
from tests.integration.review.test_reviewing import values
from tests.review_world import REGION, STOP, World, needle_id_of

Opened = Callable[[RedactionRule], Awaitable[Browser]]


@pytest.fixture
async def opened(world: World) -> AsyncIterator[Opened]:
    """Opens the page, logged in, where images are redacted by a rule."""
    browsers: list[Browser] = []

    async def open_(rule: RedactionRule) -> Browser:
        settings = world.context.settings
        images = ShownImages(world.stores.blobs, ImageLimits.of(settings), rule)
        pictures = PictureCache(settings.data / "redacted", 10**7, images)
        context = replace(world.context, images=images, pictures=pictures)
        redacting = replace(world, context=context)
        browsers.append(Browser(redacting, served(redacting)))
        await browsers[-1].log_in("Ana")
        return browsers[-1]

    yield open_
    for browser in browsers:
        await browser.client.aclose()


async def test_regions_are_black_in_every_picture_and_browsers_ask_again(opened: Opened) -> None:
    ana = await opened(RedactionRule({STOP}, "ods"))
    box = ",".join(str(number) for number in REGION)

    whole = await ana.get("/picture?frame=r000&size=native")
    crop = await ana.get(f"/picture?frame=r000&size=card&box={box}")

    pixels = np.asarray(Image.open(BytesIO(whole.content)))
    x, y, width, height = (int(number) for number in REGION)
    assert pixels[y : y + height, x : x + width].max() < 40
    assert pixels[:5, :5].max() > 40
    cut = np.asarray(Image.open(BytesIO(crop.content)))
    assert cut[cut.shape[0] // 2, cut.shape[1] // 2].max() < 40
    assert whole.headers["Cache-Control"] == "private, no-cache"


async def test_a_frame_that_the_detector_has_not_seen_is_not_shown(opened: Opened) -> None:
    ana = await opened(RedactionRule({STOP}, "privacy"))

    answer = await ana.get("/picture?frame=r000&size=card")

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "privacy has not looked at r000 yet" in answer.text


async def test_a_verdict_keeps_the_digest_of_what_was_shown(opened: Opened) -> None:
    ana = await opened(RedactionRule({STOP}, "ods"))
    page = f"/needles/{needle_id_of(0)}"

    await ana.post(f"{page}/decisions", {"act": "accept", "region": await values(ana)})

    (event,) = await ana.world.stores.reviews.events(needle_id_of(0))
    record = (await ana.world.stores.needles.load([needle_id_of(0)]))[needle_id_of(0)]
    assert record.shortlist is not None
    frame_of = {item.region_id: item.frame_id for item in record.shortlist.candidates}
    frames = await ana.world.stores.frames.load(set(frame_of.values()))
    images = ana.world.context.images
    expected = [images.of_frame(frames[frame_of[region]]).digest for region in event.regions]
    assert event.shown == tuple(expected)
    assert expected
    assert not {frame.captured.image.sha256 for frame in frames.values() if frame.captured} & {
        *expected
    }
