"""JPEG and PNG containers, walked before a decoder sees them: whole, and free of surprises.

What a decoder gets holds nothing but pixels. Metadata can then neither warn, nor unpack itself
into memory, nor change between one reader and the next.
"""

import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from services.contracts.errors import InvalidImage

MediaType = Literal["image/jpeg", "image/png"]

MAX_JPEG_SCANS = 100
"""A progressive JPEG has about ten; each costs a pass over the whole picture."""

MAX_PARTS = 100_000
"""Chunks of a PNG, or segments of a JPEG: libpng writes 8 kB a chunk, so 26 MB are 3,200."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PNG_HEADER = b"\0\0\0\x0dIHDR"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_UNPACKED_AT_ONCE = 1 << 20
_JPEG_START = b"\xff\xd8"
_SOS, _EOI, _APP0, _APP1, _APP14, _APP15, _COM = 0xDA, 0xD9, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
# Inside a scan, 0xFF is data when 0 follows, and a restart mark or padding when these do.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_PADDING = re.compile(rb"\xff*(?=\xff)")
_EXIF = b"Exif\x00\x00"
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Container:
    """One picture's own bytes, and how it is to be turned."""

    media_type: MediaType
    pixels: bytes
    """A file with the picture alone, without metadata."""
    orientation: int
    """EXIF's, 1 to 8; 1 is upright, also where nothing is said."""


def open_container(content: bytes) -> Container:
    """The picture in a file's bytes.

    Raises
    ------
    InvalidImage
        `truncated_image` for a file that ends too early, `unsupported_format` for one that is
        neither JPEG nor PNG, `invalid_image` for one that is broken.
    """
    if content.startswith(_PNG_SIGNATURE):
        return _open_png(content)
    if content.startswith(_JPEG_START):
        return _open_jpeg(content)
    if content and (_PNG_SIGNATURE.startswith(content) or _JPEG_START.startswith(content)):
        truncated()
    raise InvalidImage("neither JPEG nor PNG", reason="unsupported_format")


def truncated() -> NoReturn:
    """Say that the file ends before the picture does."""
    raise InvalidImage("the file ends before the picture does", reason="truncated_image")


def check_png_rows(pixels: bytes) -> None:
    """Make sure that a PNG's data fill all of its rows, which decoders do not look at.

    Parameters
    ----------
    pixels : a container's, whose size has been found to be within limits

    Raises
    ------
    InvalidImage
        `truncated_image` for too few rows, `invalid_image` for data that cannot be unpacked.
    """
    view = memoryview(pixels)
    header = view[len(_PNG_SIGNATURE) + 8 :][:13]
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _PNG_CHANNELS.get(colour, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    missing = sum(
        _rows_bytes(-(-(width - x) // step_x), -(-(height - y) // step_y), bits)
        for x, y, step_x, step_y in passes
    )
    unpacking = zlib.decompressobj()
    try:
        for packed in (chunk[8:-4] for kind, chunk in _png_chunks(view) if kind == b"IDAT"):
            rest: bytes | memoryview = packed
            while rest and missing > 0:
                missing -= len(unpacking.decompress(rest, _UNPACKED_AT_ONCE))
                rest = unpacking.unconsumed_tail
    except zlib.error as exc:
        raise InvalidImage(f"broken: {exc}") from exc
    if missing > 0:
        truncated()


def _rows_bytes(width: int, height: int, bits: int) -> int:
    # Each row begins with a byte that names its filter; an empty pass has no rows at all.
    return height * (1 + -(-width * bits // 8)) if width > 0 and height > 0 else 0


def _open_png(content: bytes) -> Container:
    kept = _Kept(content, len(_PNG_SIGNATURE))
    orientation, headers = 1, 0
    at = len(_PNG_SIGNATURE)
    for kind, chunk in _png_chunks(memoryview(content)):
        if kind in _PNG_PIXELS:
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
                raise InvalidImage(f"the checksum of a PNG chunk {kind.decode()} is wrong")
            headers += kind == b"IHDR"
            if headers != 1 or (kind == b"IHDR" and chunk[:8] != _PNG_HEADER):
                raise InvalidImage("a PNG begins with one header of 13 bytes")
            kept.add(at, at + len(chunk))
        elif kind == b"eXIf":
            orientation = _orientation(bytes(chunk[8:-4]))
        at += len(chunk)
    return Container("image/png", kept.joined(), orientation)


class _Kept:
    """The parts of a file that are kept, as few ranges: one where nothing is left out between."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content = content
        self._ranges = [(0, start)]

    def add(self, start: int, end: int) -> None:
        first, last = self._ranges[-1]
        if last == start:
            self._ranges[-1] = first, end
        else:
            self._ranges.append((start, end))

    def joined(self) -> bytes:
        if self._ranges == [(0, len(self._content))]:
            return self._content  # no copy of what is whole
        view = memoryview(self._content)
        return b"".join(view[start:end] for start, end in self._ranges)


def _count_part(count: int) -> None:
    if count > MAX_PARTS:
        raise InvalidImage(f"more than {MAX_PARTS} parts", reason="too_many_parts")


def _png_chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at, kind = len(_PNG_SIGNATURE), b""
    for count in itertools.count(1):
        if kind == b"IEND":
            return
        _count_part(count)
        end = at + 12 + int.from_bytes(view[at : at + 4])
        if at + 8 > len(view) or end > len(view):
            truncated()
        kind = bytes(view[at + 4 : at + 8])
        yield kind, view[at:end]
        at = end


def _open_jpeg(content: bytes) -> Container:
    kept = _Kept(content, len(_JPEG_START))
    orientation, scans = 1, 0
    for marker, start, end in _jpeg_segments(content):
        segment = memoryview(content)[start:end]
        if marker == _APP1 and segment[4:10] == _EXIF:
            orientation = _orientation(bytes(segment[10:]))
        # APP0 and APP14 say how colours are coded; the others say nothing of pixels.
        metadata = _APP1 <= marker <= _APP15 and marker != _APP14
        if not metadata and marker != _COM:
            kept.add(start, end)
        scans += marker == _SOS
        if scans > MAX_JPEG_SCANS:
            raise InvalidImage(f"more than {MAX_JPEG_SCANS} scans", reason="too_many_scans")
    return Container("image/jpeg", kept.joined(), orientation)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker, and where it begins and ends, a scan's data included, up to the first end."""
    at, marker = len(_JPEG_START), 0
    for count in itertools.count(1):
        if marker == _EOI:
            return
        _count_part(count)
        if padding := _PADDING.match(content, at):
            at = padding.end()
        if at + 2 > len(content):
            truncated()
        if content[at] != 0xFF:  # noqa: PLR2004  # every marker of the format begins so
            raise InvalidImage("a JPEG segment does not begin with a marker")
        marker = content[at + 1]
        end = at + 2
        if marker not in _STANDALONE and marker != _EOI:
            end = _jpeg_segment_end(content, at, marker)
        yield marker, at, end
        at = end


def _jpeg_segment_end(content: bytes, at: int, marker: int) -> int:
    length = int.from_bytes(content[at + 2 : at + 4])
    end = at + 2 + length
    if at + 4 > len(content) or end > len(content):
        truncated()
    if length < 2:  # noqa: PLR2004  # the length counts its own two bytes
        raise InvalidImage("a JPEG segment has no length")
    if marker != _SOS:
        return end
    found = _END_OF_SCAN.search(content, end)
    return found.start() if found else truncated()


def _orientation(exif: bytes) -> int:
    """EXIF's orientation; 1 where it is absent or makes no sense, as viewers take it."""
    order: Literal["<", ">"] = "<" if exif.startswith(b"II") else ">"
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(entries):
            at = directory + 2 + 12 * entry
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, at)
            if tag == _ORIENTATION:
                return value if value in range(1, 9) else 1
    except struct.error:
        return 1
    return 1
