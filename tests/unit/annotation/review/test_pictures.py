import asyncio
import tempfile
import threading
from collections.abc import Set as AbstractSet
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from services.annotation.review.pictures import PictureCache, PictureRequest
from services.contracts.errors import MissingImage
from services.contracts.events import Image
from services.domain.ports.blobs import BlobStore
from services.domain.redaction import RedactionRule, RedactionStyle, ShownImage
from services.runtime.images import ImageLimits
from services.runtime.shown_images import ShownImages
from tests.fakes.blobs import InMemoryBlobs

LIMITS = ImageLimits(10**6, 10**6)


@pytest.fixture
def blobs() -> InMemoryBlobs:
    return InMemoryBlobs()


def images(blobs: BlobStore) -> ShownImages:
    return ShownImages(blobs, LIMITS, RedactionRule())


def stored(blobs: InMemoryBlobs) -> ShownImage:
    out = BytesIO()
    Pictures.new("RGB", (200, 100), (200, 30, 30)).save(out, "PNG")
    uri = blobs.put(out.getvalue())
    image = Image(
        sha256=uri.rpartition("/")[2],
        uri=uri,
        size_bytes=len(out.getvalue()),
        media_type="image/png",
        width=200,
        height=100,
    )
    return ShownImage(image, (), RedactionStyle.BLACK)


class CountingBlobs(InMemoryBlobs):
    """Knows how often it was asked."""

    given_out = 0

    def get(self, uri: str) -> bytes:
        self.given_out += 1
        return super().get(uri)


async def test_a_picture_is_made_once_and_found_again_after_a_restart(
    blobs: InMemoryBlobs, tmp_path: Path
) -> None:
    wanted = PictureRequest(stored(blobs), (10.0, 10.0, 40.0, 30.0), 80, 60)
    made = await PictureCache(tmp_path, 10**6, images(blobs)).get(wanted)
    blobs.contents.clear()

    again = await PictureCache(tmp_path, 10**6, images(blobs)).get(wanted)

    assert again == made
    assert Pictures.open(BytesIO(made)).size == (80, 60)


async def test_those_who_ask_at_once_wait_for_one_making(
    tmp_path: Path,
) -> None:
    blobs = CountingBlobs()
    cache = PictureCache(tmp_path, 10**6, images(blobs))
    wanted = PictureRequest(stored(blobs), None, 100, 50)

    pictures = await asyncio.gather(*(cache.get(wanted) for _ in range(5)))

    assert len(set(pictures)) == 1
    assert blobs.given_out == 1


async def test_the_least_used_pictures_make_room(blobs: InMemoryBlobs, tmp_path: Path) -> None:
    image = stored(blobs)
    wanted = [PictureRequest(image, None, 100 + number, 50) for number in range(12)]
    size = len(await PictureCache(tmp_path / "probe", 10**6, images(blobs)).get(wanted[0]))
    cache = PictureCache(tmp_path / "kept", 4 * size, images(blobs))
    for item in wanted:
        await cache.get(wanted[0])
        await cache.get(item)

    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert wanted[0].name in kept
    assert wanted[1].name not in kept
    assert sum(path.stat().st_size for path in (tmp_path / "kept").iterdir()) <= 4 * size


async def test_a_picture_larger_than_the_cache_is_shown_and_not_stored(
    blobs: InMemoryBlobs, tmp_path: Path
) -> None:
    wanted = PictureRequest(stored(blobs), None, 100, 50)
    size = len(await PictureCache(tmp_path, 10**6, images(blobs)).get(wanted))

    assert await PictureCache(tmp_path, size - 1, images(blobs)).get(wanted)

    assert {path.name for path in (tmp_path / ".").iterdir()} == set()


async def test_a_picture_whose_image_is_gone_can_be_asked_for_again(
    blobs: InMemoryBlobs, tmp_path: Path
) -> None:
    image = stored(blobs)
    content = dict(blobs.contents)
    blobs.contents.clear()
    cache = PictureCache(tmp_path, 10**6, images(blobs))
    with pytest.raises(MissingImage):
        await cache.get(PictureRequest(image, None, 50, 25))

    blobs.contents.update(content)

    assert await cache.get(PictureRequest(image, None, 50, 25))


async def test_a_folder_that_cannot_be_written_only_costs_time(
    blobs: InMemoryBlobs, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    cache = PictureCache(tmp_path / "file" / "folder", 10**6, images(blobs))

    assert await cache.get(PictureRequest(stored(blobs), None, 50, 25))
    assert await cache.get(PictureRequest(stored(blobs), None, 50, 25))


async def test_the_pictures_of_an_erased_image_are_deleted_and_others_stay(
    blobs: InMemoryBlobs, tmp_path: Path
) -> None:
    gone = stored(blobs)
    kept = replace(gone, image=gone.image.model_copy(update={"sha256": "0" * 64}))
    cache = PictureCache(tmp_path, 10**6, images(blobs))
    for image in (gone, kept):
        for width in (50, 60):
            await cache.get(PictureRequest(image, None, width, 25))
    older = tmp_path / ("f" * 64)  # of a version whose files named no image
    await asyncio.to_thread(older.write_bytes, b"a picture")
    cache = PictureCache(tmp_path, 10**6, images(blobs))

    async def shown(images: AbstractSet[str]) -> AbstractSet[str]:
        return images & {kept.image.sha256}

    await cache.drop_unshown(shown)

    left = {path.name for path in (tmp_path / ".").iterdir()}
    assert left == {PictureRequest(kept, None, width, 25).name for width in (50, 60)}
    assert await cache.get(PictureRequest(gone, None, 50, 25))  # made again, if somebody may see it


async def test_a_picture_that_is_written_during_an_erasure_is_deleted_by_the_next_look(
    blobs: InMemoryBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PictureCache(tmp_path, 10**6, images(blobs))
    writing, looked = threading.Event(), threading.Event()
    mkstemp = tempfile.mkstemp

    def after_the_look(**options: Any) -> tuple[int, str]:
        writing.set()
        looked.wait(timeout=30)
        return mkstemp(**options)

    async def shown(_: AbstractSet[str]) -> AbstractSet[str]:
        return set()

    monkeypatch.setattr(tempfile, "mkstemp", after_the_look)
    making = asyncio.create_task(cache.get(PictureRequest(stored(blobs), None, 50, 25)))
    await asyncio.to_thread(writing.wait, 30)
    await cache.drop_unshown(shown)
    looked.set()
    await making

    await cache.drop_unshown(shown)

    assert {path.name for path in (tmp_path / ".").iterdir()} == set()


async def test_a_picture_that_cannot_be_written_leaves_no_file(
    blobs: InMemoryBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError("no space left on the device")

    cache = PictureCache(tmp_path, 10**6, images(blobs))
    monkeypatch.setattr(Path, "replace", refused)

    assert await cache.get(PictureRequest(stored(blobs), None, 50, 25))

    assert {path.name for path in (tmp_path / ".").iterdir()} == set()
