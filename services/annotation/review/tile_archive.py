"""Reads tiles of a PMTiles archive, version 3.

References
----------
https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md
"""

import gzip
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, Self

from services.contracts.errors import InvalidSettings

_HEADER: Final = struct.Struct("<7sB11QBBBBBB")
_MAGIC, _VERSION = b"PMTiles", 3
_PLAIN, _GZIP = 1, 2
_VECTOR = 1
_DEEPEST = 4
"""Levels of directories; writers make at most three."""


@dataclass(frozen=True)
class _Directory:
    """Entries in the order of their first tile; one with a run of 0 leads to another directory."""

    first: list[int]
    runs: list[int]
    lengths: list[int]
    offsets: list[int]

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Parse a directory."""
        values = varints(content)
        count = next(values)
        steps, runs, lengths, places = ([next(values) for _ in range(count)] for _ in range(4))
        offsets: list[int] = []
        for at, place in enumerate(places):  # 0: directly after the entry before it
            offsets.append(place - 1 if place else offsets[-1] + lengths[at - 1])
        return cls(list(accumulate(steps)), runs, lengths, offsets)


@dataclass(frozen=True)
class TileArchive:
    """A file of vector tiles.

    Attributes
    ----------
    compressed : whether tiles are gzip files
    packed : whether directories are
    """

    path: Path
    root: tuple[int, int]
    leaves_at: int
    tiles_at: int
    packed: bool
    compressed: bool
    zooms: range

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the header.

        Raises
        ------
        InvalidSettings
            The file cannot be read, or has no vector tiles that can be drawn.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_HEADER.size)
            fields = _HEADER.unpack(content)
        except (OSError, struct.error) as exc:
            raise InvalidSettings(f"review_base_map: cannot read {path} ({exc})") from exc
        magic, version, root_at, root_bytes, _, _, leaves_at, _, tiles_at, *_ = fields
        packing, compression, kind, least, most = fields[-5:]
        if (magic, version, kind) != (_MAGIC, _VERSION, _VECTOR):
            raise InvalidSettings(
                f"review_base_map: {path} has no vector tiles in PMTiles, version 3"
            )
        if not {packing, compression} <= {_PLAIN, _GZIP}:
            raise InvalidSettings(f"review_base_map: {path} is compressed by other means than gzip")
        root, zooms = (root_at, root_bytes), range(least, most + 1)
        return cls(path, root, leaves_at, tiles_at, packing == _GZIP, compression == _GZIP, zooms)

    def tile(self, zoom: int, x: int, y: int) -> bytes | None:
        """The tile's content; None if the archive does not have it, or it cannot be read."""
        try:
            with self.path.open("rb") as file:
                return self._find(file.fileno(), tile_id(zoom, x, y))
        except (OSError, EOFError, zlib.error, ValueError, IndexError, StopIteration):
            return None  # a damaged part of the map is left out

    def _find(self, file: int, wanted: int) -> bytes | None:
        at, length = self.root
        for _ in range(_DEEPEST):
            directory = _Directory.of(_read(file, at, length, self.packed))
            entry = bisect_right(directory.first, wanted) - 1
            if entry < 0:
                return None
            run, length = directory.runs[entry], directory.lengths[entry]
            if run:
                here = wanted < directory.first[entry] + run
                at = self.tiles_at + directory.offsets[entry]
                return _read(file, at, length, self.compressed) if here else None
            at = self.leaves_at + directory.offsets[entry]
        return None


def tile_id(zoom: int, x: int, y: int) -> int:
    """The tile's number: those of lower zooms first, then along a Hilbert curve."""
    side = 1 << zoom
    number = (side * side - 1) // 3
    half = side >> 1
    while half:
        right, down = int(x & half > 0), int(y & half > 0)
        number += half * half * ((3 * right) ^ down)
        if not down:
            if right:
                x, y = side - 1 - x, side - 1 - y
            x, y = y, x
        half >>= 1
    return number


def varints(content: bytes) -> Iterator[int]:
    """Numbers of seven bits per byte, lowest first."""
    value = shift = 0
    for byte in content:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004  # the highest bit says that more bytes follow
            yield value
            value = shift = 0


def _read(file: int, at: int, length: int, compressed: bool) -> bytes:
    content = os.pread(file, length, at)
    return gzip.decompress(content) if compressed else content
