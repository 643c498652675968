"""Validates JPEG and PNG containers before decoding, and strips everything except pixels.

A decoder then never sees metadata, which could cause warnings, expand in memory, or be interpreted
differently by different readers.
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
"""Limit of scans in a JPEG. A progressive one has about ten; each is a pass over the image."""

MAX_PARTS = 100_000
"""Limit of PNG chunks or JPEG segments. libpng writes 8 kB per chunk, so 26 MB are 3,200."""

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
# Inside a scan, 0xFF is data before 0, and a restart mark or padding before the other bytes that
# this class excludes.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_PADDING = re.compile(rb"\xff*(?=\xff)")
_EXIF = b"Exif\x00\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Container:
    """The bytes of one image without metadata, and the metadata apart."""

    media_type: MediaType
    pixels: bytes
    """An image file that contains only what decoding needs."""
    orientation: int
    """EXIF orientation, 1 to 8; 1, which is upright, if absent."""
    exif: bytes = b""
    """From its TIFF header on, at most 64 kB of a JPEG; empty if absent."""
    xmp: bytes = b""
    """A JPEG's XML, at most 64 kB; empty if absent."""


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
    """Raise the error of a truncated image."""
    raise InvalidImage("the file ends before the picture does", reason="truncated_image")


def check_png_rows(pixels: bytes) -> None:
    """Check that a PNG's data fill all of its rows, which decoders do not check.

    Parameters
    ----------
    pixels : of a container whose image size is within the limits

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
        for packed in (
            chunk[8:-4] for chunk_type, chunk in _png_chunks(view) if chunk_type == b"IDAT"
        ):
            rest: bytes | memoryview = packed
            while rest and missing > 0:
                missing -= len(unpacking.decompress(rest, _UNPACKED_AT_ONCE))
                rest = unpacking.unconsumed_tail
    except zlib.error as exc:
        raise InvalidImage(f"broken: {exc}") from exc
    if missing > 0:
        truncated()


def _rows_bytes(width: int, height: int, bits: int) -> int:
    # Each row begins with a byte for its filter; an empty pass has no rows.
    return height * (1 + -(-width * bits // 8)) if width > 0 and height > 0 else 0


def _open_png(content: bytes) -> Container:
    kept = _Kept(content, len(_PNG_SIGNATURE))
    exif, headers = b"", 0
    at = len(_PNG_SIGNATURE)
    for chunk_type, chunk in _png_chunks(memoryview(content)):
        if chunk_type in _PNG_PIXELS:
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
                raise InvalidImage(f"the checksum of a PNG chunk {chunk_type.decode()} is wrong")
            headers += chunk_type == b"IHDR"
            if headers != 1 or (chunk_type == b"IHDR" and chunk[:8] != _PNG_HEADER):
                raise InvalidImage("a PNG begins with one header of 13 bytes")
            kept.add(at, at + len(chunk))
        elif chunk_type == b"eXIf":
            exif = bytes(chunk[8:-4])
        at += len(chunk)
    return Container("image/png", kept.joined(), _orientation(exif), exif)


class _Kept:
    """The kept parts of a file, with adjacent parts merged into one range."""

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
            return self._content  # nothing was left out, so no copy is needed
        view = memoryview(self._content)
        return b"".join(view[start:end] for start, end in self._ranges)


def _count_part(count: int) -> None:
    if count > MAX_PARTS:
        raise InvalidImage(f"more than {MAX_PARTS} parts", reason="too_many_parts")


def _png_chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at, chunk_type = len(_PNG_SIGNATURE), b""
    for count in itertools.count(1):
        if chunk_type == b"IEND":
            return
        _count_part(count)
        end = at + 12 + int.from_bytes(view[at : at + 4])
        if at + 8 > len(view) or end > len(view):
            truncated()
        chunk_type = bytes(view[at + 4 : at + 8])
        yield chunk_type, view[at:end]
        at = end


def _open_jpeg(content: bytes) -> Container:
    kept = _Kept(content, len(_JPEG_START))
    exif, xmp, scans = b"", b"", 0
    for marker, start, end in _jpeg_segments(content):
        segment = memoryview(content)[start:end]
        if marker == _APP1 and segment[4:10] == _EXIF:
            exif = bytes(segment[4 + len(_EXIF) :])
        elif marker == _APP1 and bytes(segment[4 : 4 + len(_XMP)]) == _XMP:
            xmp = bytes(segment[4 + len(_XMP) :])
        # APP0 and APP14 define the colour encoding; the other segments do not affect pixels.
        metadata = _APP1 <= marker <= _APP15 and marker != _APP14
        if not metadata and marker != _COM:
            kept.add(start, end)
        scans += marker == _SOS
        if scans > MAX_JPEG_SCANS:
            raise InvalidImage(f"more than {MAX_JPEG_SCANS} scans", reason="too_many_scans")
    return Container("image/jpeg", kept.joined(), _orientation(exif), exif, xmp)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker up to the first end marker, with its start and end; scans include their data."""
    at, marker = len(_JPEG_START), 0
    for count in itertools.count(1):
        if marker == _EOI:
            return
        _count_part(count)
        if padding := _PADDING.match(content, at):
            at = padding.end()
        if at + 2 > len(content):
            truncated()
        if content[at] != 0xFF:  # noqa: PLR2004  # every marker begins with 0xFF
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
    """EXIF's orientation; 1 if it is absent or invalid, as in image viewers."""
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
