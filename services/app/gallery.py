"""Montages of a mined data set: choose needles, and draw them with their candidates."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Protocol

from cachetools import LRUCache, cachedmethod
from PIL import Image

from services.app.drawn_pictures import is_montage, montage_name
from services.contracts.events import ErrorType
from services.contracts.identity import Box, DetectorId, DriveId, FrameId, RegionId
from services.contracts.needles import Candidate, NeedleFound
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleRecord, NeedleStore
from services.domain.redaction import HiddenImage, ShownImage
from services.formats.items import UNKNOWN_TIME
from services.runtime.embedded.private_folder import as_the_user_writes
from services.runtime.montage import MAX_TILES, Tile, montage
from services.runtime.shown_images import ShownImages

_SHOWN = 0.3
"""Other predictions below this score are not drawn, because they clutter the image."""
_DECODED_BYTES = 400_000_000
"""Memory for decoded frames: 64 of them in full HD."""
_COMPRESSION = 1  # takes a third of the default level's time, for 10% more bytes
_MEANING = {
    ErrorType.CLASSIFICATION: "it is of another category",
    ErrorType.LOCALIZATION: "the box does not fit",
    ErrorType.BOTH: "it is of another category, and the box does not fit",
    ErrorType.DUPLICATE: "it was found already",
    ErrorType.BACKGROUND: "there is nothing to find",
    ErrorType.MISSED: "no detection found it",
}


class Stores(Protocol):
    """The stores that montages need."""

    @property
    def needles(self) -> NeedleStore: ...
    @property
    def frames(self) -> FrameStore: ...
    @property
    def matches(self) -> MatchStore: ...


@dataclass(frozen=True)
class _Sheet:
    needle: NeedleFound
    candidates: Sequence[Candidate]


class DecodedFrames:
    """A cache of decoded frame images.

    Parameters
    ----------
    max_bytes : of pixels; the images used least recently make room
    """

    def __init__(self, images: ShownImages, *, max_bytes: int = _DECODED_BYTES) -> None:
        self._images = images
        self._kept: LRUCache[ShownImage, Image.Image] = LRUCache(max_bytes, _bytes_of)

    def of(self, frame: FrameRecord) -> Image.Image | None:
        """The frame's image as people see it; None if it is not known, or hidden."""
        if frame.captured is None:
            return None
        try:
            shown = self._images.of_frame(frame)
        except HiddenImage:
            return None
        return self._decoded(shown)

    @cachedmethod(attrgetter("_kept"))
    def _decoded(self, shown: ShownImage) -> Image.Image:
        return self._images.pixels(shown)


def _bytes_of(picture: Image.Image) -> int:
    return picture.width * picture.height * len(picture.getbands())


def chosen(records: Iterable[NeedleRecord], most: int) -> list[NeedleRecord]:
    """The needles to show: failure modes round-robin, best shortlisted needles first.

    Needles without candidates are left out; frames similar to them, if any, were allocated to
    another needle.
    """
    return _in_turn(record for record in records if record.active and _found(record))[:most]


def _in_turn(records: Iterable[NeedleRecord]) -> list[NeedleRecord]:
    kinds: dict[tuple[str, str], list[NeedleRecord]] = defaultdict(list)
    for record in records:
        assert record.needle is not None
        kinds[record.needle.category, record.needle.error_type].append(record)
    for kind in kinds.values():
        kind.sort(key=_worth, reverse=True)
    turns = zip_longest(*(kinds[name] for name in sorted(kinds)))
    return [record for turn in turns for record in turn if record is not None]


def _found(record: NeedleRecord) -> int:
    return min(len(record.shortlist.candidates), MAX_TILES) if record.shortlist else 0


def _worth(record: NeedleRecord) -> tuple[int, float, str]:
    assert record.needle is not None
    return _found(record), record.needle.score, record.needle_id


async def write_montages(
    stores: Stores, folder: Path, *, images: ShownImages, most: int
) -> list[Path]:
    """Draw at most `most` PNGs, one per needle with a shortlist; replaces an earlier run's files.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    records = chosen([record async for record in stores.needles.scan()], most)
    sheets = [
        _Sheet(record.needle, record.shortlist.candidates[:MAX_TILES] if record.shortlist else ())
        for record in records
        if record.needle is not None
    ]
    album = _Album(
        frames=await stores.frames.load({frame for sheet in sheets for frame in _frames(sheet)}),
        errors=await _errors(stores.matches, sheets),
        pictures=DecodedFrames(images),
    )
    return await asyncio.to_thread(_write, album, sheets, folder)


@as_the_user_writes()
def _write(album: "_Album", sheets: Sequence[_Sheet], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if is_montage(old):
            old.unlink()
    written = []
    for number, sheet in enumerate(sheets, start=1):
        picture = album.drawn(f"Needle {number} of {len(sheets)}", sheet)
        if picture is not None:
            written.append(folder / montage_name(number, sheet.needle))
            picture.save(written[-1], compress_level=_COMPRESSION)
    return written


def _frames(sheet: _Sheet) -> Iterator[FrameId]:
    yield sheet.needle.frame_id
    yield from (candidate.frame_id for candidate in sheet.candidates)


async def _errors(
    matches: MatchStore, sheets: Sequence[_Sheet]
) -> dict[RegionId, ErrorType | None]:
    """The error type of every candidate on a sheet, from matching; None if there is no error."""
    regions = {candidate.region_id for sheet in sheets for candidate in sheet.candidates}
    categories = {sheet.needle.category for sheet in sheets}
    return {
        region: error
        async for match in matches.scan(categories=categories)
        for region, error in zip(match.regions, match.errors, strict=True)
        if region in regions
    }


def _place(drive: DriveId | None, at: datetime | None) -> str:
    """Drive and time, where known."""
    caption = [f"drive {drive}"] if drive else []
    if at is not None and at != UNKNOWN_TIME:
        caption.append(f"{at:%Y-%m-%d %H:%M:%S}")
    return " · ".join(caption)


@dataclass(frozen=True)
class _Album:
    """The data that sheets are drawn from."""

    frames: Mapping[FrameId, FrameRecord]
    errors: Mapping[RegionId, ErrorType | None]
    pictures: DecodedFrames

    def drawn(self, title: str, sheet: _Sheet) -> Image.Image | None:
        needle = sheet.needle
        left = self._needle(needle)
        if left is None:
            return None
        tiles = [
            self._candidate(place, candidate, needle.detector)
            for place, candidate in enumerate(sheet.candidates, start=1)
        ]
        caption = f"{title}: {needle.category}, but {_MEANING[needle.error_type]}"
        return montage(caption, left, [tile for tile in tiles if tile is not None])

    def _needle(self, needle: NeedleFound) -> Tile | None:
        really = f", really {needle.true_category}" if needle.true_category else ""
        caption = (
            f"{needle.category} {needle.score:.2f}: {needle.error_type}{really}",
            _place(needle.drive_id, needle.captured_at),
            f"frame {needle.frame_id} · {needle.detector}",
        )
        tile = self._tile(needle.frame_id, needle.detector, needle.bbox, caption)
        return tile and replace(tile, wrong=True)

    def _candidate(self, place: int, candidate: Candidate, detector: DetectorId) -> Tile | None:
        known = candidate.region_id in self.errors
        error = self.errors.get(candidate.region_id)
        verdict = (error or "correct") if known else "not annotated"
        caption = (
            f"{place}. {candidate.category} {candidate.score:.2f}: {verdict}",
            f"similarity {candidate.similarity:.3f}",
            f"{_place(candidate.drive_id, None)} · {candidate.frame_id}".removeprefix(" · "),
        )
        tile = self._tile(candidate.frame_id, detector, candidate.bbox, caption)
        return tile and replace(tile, wrong=error is not None if known else None)

    def _tile(
        self, frame_id: FrameId, detector: DetectorId, region: Box, caption: Sequence[str]
    ) -> Tile | None:
        frame = self.frames.get(frame_id)
        picture = self.pictures.of(frame) if frame is not None else None
        if frame is None or picture is None:
            return None
        predictions = frame.predictions.get(detector)
        detections = predictions.detections if predictions is not None else ()
        others = [d.bbox for d in detections if d.bbox != region and d.score >= _SHOWN]
        truth = frame.ground_truth
        truths = [a.bbox for a in truth.annotations] if truth is not None else []
        return Tile(
            picture,
            region,
            others,
            truths,
            caption,
            mask=next((d.mask for d in detections if d.bbox == region), None),
            truth_masks=[a.mask for a in truth.annotations if a.mask] if truth is not None else (),
        )
