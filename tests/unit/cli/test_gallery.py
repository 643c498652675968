import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from services.app.drawn_pictures import montages_of
from services.app.gallery import DecodedFrames, chosen, write_montages
from services.contracts.events import ErrorType
from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameFact
from services.domain.ports.needles import NeedleRecord
from services.domain.redaction import RedactionRule
from services.runtime.images import ImageLimits
from services.runtime.shown_images import ShownImages
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.matches import InMemoryMatchStore
from tests.fakes.needles import InMemoryNeedleStore
from tests.samples import (
    detection,
    frame_annotated,
    frame_captured,
    frame_matched,
    needle_found,
    needle_retracted,
    predictions_made,
    shortlist_published,
)

LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000)


@dataclass
class Stores:
    needles: InMemoryNeedleStore = field(default_factory=InMemoryNeedleStore)
    frames: InMemoryFrameStore = field(default_factory=InMemoryFrameStore)
    matches: InMemoryMatchStore = field(default_factory=InMemoryMatchStore)
    blobs: InMemoryBlobs = field(default_factory=InMemoryBlobs)

    async def add_frame(self, frame_id: str) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (320, 180), (40, 90, 160)).save(buffer, "JPEG")
        captured = frame_captured(frame_id)
        image = captured.image.model_copy(update={"uri": self.blobs.put(buffer.getvalue())})
        facts: list[FrameFact] = [
            captured.model_copy(update={"image": image}),
            predictions_made(detection(), frame_id=frame_id),
            frame_annotated(frame_id=frame_id),
        ]
        await self.frames.record(facts)
        await self.matches.record([frame_matched(frame_id)])


@pytest.fixture
async def mined() -> Stores:
    """Three needles; the first two were answered with two frames each."""
    stores = Stores()
    for frame_id in ("n1", "n2", "n3", "h1", "h2"):
        await stores.add_frame(frame_id)
    first, second, third = needle_found("n1"), needle_found("n2"), needle_found("n3")
    await stores.needles.record([first, second, third])
    await stores.needles.write_shortlists(
        [shortlist_published(first, "h1", "h2"), shortlist_published(second, "h2", "h1")]
    )
    return stores


def images_of(stores: Stores) -> ShownImages:
    return ShownImages(stores.blobs, LIMITS, RedactionRule())


async def test_every_needle_with_a_shortlist_has_one_montage(mined: Stores, tmp_path: Path) -> None:
    written = await write_montages(mined, tmp_path, images=images_of(mined), most=10)
    assert len(written) == 2
    assert {path.suffix for path in written} == {".png"}
    for path in written:
        with Image.open(path) as sheet:
            assert sheet.width > 1000


async def test_no_more_are_drawn_than_asked_for(mined: Stores, tmp_path: Path) -> None:
    assert len(await write_montages(mined, tmp_path, images=images_of(mined), most=1)) == 1


async def test_decoded_images_are_kept_while_they_fit_into_memory(mined: Stores) -> None:
    frames = await mined.frames.load([FrameId("n1"), FrameId("n2"), FrameId("n3")])
    one = 320 * 180 * 3
    two_fit = DecodedFrames(images_of(mined), max_bytes=2 * one)
    first = two_fit.of(frames[FrameId("n1")])
    assert two_fit.of(frames[FrameId("n1")]) is first
    none_fits = DecodedFrames(images_of(mined), max_bytes=one - 1)
    assert none_fits.of(frames[FrameId("n1")]) is not none_fits.of(frames[FrameId("n1")])


async def test_a_second_run_replaces_the_montages_and_nothing_else(
    mined: Stores, tmp_path: Path
) -> None:
    (tmp_path / "001-notes.png").write_bytes(b"mine")
    await write_montages(mined, tmp_path, images=images_of(mined), most=10)
    needle = needle_found("n2")
    await mined.needles.record([needle_retracted(needle, revision=2)])
    written = await write_montages(mined, tmp_path, images=images_of(mined), most=10)
    assert sorted(tmp_path.iterdir()) == sorted([*written, tmp_path / "001-notes.png"])  # noqa: ASYNC240  # a test has nothing to hold up
    assert len(written) == 1


async def test_a_frame_whose_image_is_unknown_is_left_out(mined: Stores, tmp_path: Path) -> None:
    needle = needle_found("elsewhere")
    await mined.needles.record([needle])
    await mined.needles.write_shortlists([shortlist_published(needle, "h1")])
    assert len(await write_montages(mined, tmp_path, images=images_of(mined), most=10)) == 2


async def test_a_folder_without_needles_stays_empty(tmp_path: Path) -> None:
    assert await write_montages(Stores(), tmp_path / "m", images=images_of(Stores()), most=10) == []
    assert not any((tmp_path / "m").iterdir())  # a test has nothing to block


def _record(
    frame: str,
    error: ErrorType = ErrorType.BACKGROUND,
    category: str = "stop sign",
    *,
    active: bool = True,
) -> NeedleRecord:
    needle = needle_found(frame, category=category).model_copy(update={"error_type": error})
    shortlist = shortlist_published(needle, "h1")
    return NeedleRecord(needle.needle_id, 1, active=active, needle=needle, shortlist=shortlist)


def test_every_kind_of_failure_is_shown_before_any_is_shown_twice() -> None:
    records = [_record(f"f{i}") for i in range(5)]
    records.append(_record("g", ErrorType.LOCALIZATION))
    records.append(_record("h", category="crossing"))
    shown = [record.needle for record in chosen(records, 3) if record.needle is not None]
    assert {(needle.category, needle.error_type) for needle in shown} == {
        ("stop sign", ErrorType.BACKGROUND),
        ("stop sign", ErrorType.LOCALIZATION),
        ("crossing", ErrorType.BACKGROUND),
    }


def test_retracted_needles_are_not_shown() -> None:
    assert chosen([_record("f", active=False)], 5) == []


async def test_an_erasure_finds_the_montages_of_its_needles(mined: Stores, tmp_path: Path) -> None:
    written = await write_montages(mined, tmp_path, images=images_of(mined), most=10)

    first, second = needle_found("n1").needle_id, needle_found("n2").needle_id
    assert sorted(montages_of([first, second], tmp_path)) == sorted(written)
    assert len(montages_of([first], tmp_path)) == 1
