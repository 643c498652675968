"""Reads tiles of a PMTiles archive, version 3."""

import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pmtiles.reader import Reader
from pmtiles.tile import (
    Compression,
    MagicNumberNotFound,
    SpecVersionUnsupported,
    TileType,
    deserialize_header,
)

from services.contracts.errors import InvalidSettings

_HEADER_BYTES = 127


@dataclass(frozen=True)
class TileArchive:
    """A file of vector tiles.

    Attributes
    ----------
    compressed : whether tiles are gzip files
    """

    path: Path
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
                header = deserialize_header(file.read(_HEADER_BYTES))
        except OSError as exc:
            raise InvalidSettings(f"review_base_map: cannot read {path} ({exc})") from exc
        except (MagicNumberNotFound, SpecVersionUnsupported, ValueError, IndexError) as exc:
            raise InvalidSettings(f"review_base_map: {path} is no PMTiles file, version 3") from exc
        if header["tile_type"] is not TileType.MVT:
            raise InvalidSettings(f"review_base_map: {path} has no vector tiles")
        compression = header["tile_compression"]
        # pmtiles decompresses directories as gzip, whatever the header says.
        if header["internal_compression"] is not Compression.GZIP or compression not in {
            Compression.NONE,
            Compression.GZIP,
        }:
            raise InvalidSettings(f"review_base_map: {path} is compressed by other means than gzip")
        zooms = range(header["min_zoom"], header["max_zoom"] + 1)
        return cls(path, compression is Compression.GZIP, zooms)

    def tile(self, zoom: int, x: int, y: int) -> bytes | None:
        """The tile's content; None if the archive does not have it, or it cannot be read."""
        try:
            with self.path.open("rb") as file:
                tile: bytes | None = Reader(_reading(file.fileno())).get(zoom, x, y)
            return gzip.decompress(tile) if tile and self.compressed else tile
        except (OSError, EOFError, zlib.error, ValueError, IndexError, OverflowError):
            return None  # a damaged part of the map is left out


def _reading(file: int) -> Callable[[int, int], bytes]:
    def get_bytes(offset: int, length: int) -> bytes:
        return os.pread(file, length, offset)

    return get_bytes
