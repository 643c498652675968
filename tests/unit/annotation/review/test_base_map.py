import gzip
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from services.annotation.review.base_map import BaseMap, Bounds, Ground
from services.annotation.review.drive_map import drive_map
from services.annotation.review.tile_archive import TileArchive, tile_id
from services.contracts.errors import InvalidSettings
from services.contracts.identity import FrameId
from tests.samples import needle_found
from tests.unit.annotation.review.test_drive_map import NORTH_WEST, SOUTH_EAST, row

LINE, AREA = 2, 3
Ring = Sequence[tuple[int, int]]
WHOLE: Ring = [(0, 0), (4096, 0), (4096, 4096), (0, 4096)]
ACROSS: Ring = [(0, 2048), (4096, 2048)]
EARTH = Bounds(-85.05, -180.0, 85.05, 179.9)


def varint(value: int) -> bytes:
    low = bytes([value & 0x7F])
    return low if value < 0x80 else bytes([low[0] | 0x80]) + varint(value >> 7)


def varints(values: Iterable[int]) -> bytes:
    return b"".join(map(varint, values))


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def geometry(shape: int, parts: Sequence[Ring]) -> bytes:
    values: list[int] = []
    x = y = 0
    for part in parts:
        for at, (to_x, to_y) in enumerate(part):
            if at < 2:
                values.append(1 << 3 | 1 if at == 0 else (len(part) - 1) << 3 | 2)
            values += [(step << 1) ^ (step >> 63) for step in (to_x - x, to_y - y)]
            x, y = to_x, to_y
        values += [1 << 3 | 7] if shape == AREA else []
    return varints(values)


def layer(name: str, shape: int, *parts: Ring) -> bytes:
    feature = field(1, 7) + field(2, b"") + field(3, shape) + field(4, geometry(shape, parts))
    return field(3, field(15, 2) + field(1, name.encode()) + field(2, feature) + field(5, 4096))


def directory(entries: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Of entries of first tile, run, length and offset."""
    first = [entry[0] for entry in entries]
    steps = [now - before for now, before in zip(first, [0, *first], strict=False)]
    columns = [*zip(*entries, strict=True)]
    values = [len(entries), *steps, *columns[1], *columns[2], *(at + 1 for at in columns[3])]
    return gzip.compress(varints(values))


def archive(
    path: Path, tiles: Mapping[int, bytes], *, most: int = 2, run: int = 1, leaves: bool = False
) -> Path:
    """A PMTiles file of these tiles, by their number."""
    contents = {number: gzip.compress(tile) for number, tile in sorted(tiles.items())}
    at, entries = 0, []
    for number, content in contents.items():
        entries.append((number, run, len(content), at))
        at += len(content)
    root, leaf = directory(entries), b""
    if leaves:
        leaf, root = root, directory([(entries[0][0], 0, len(root), 0)])
    tiles_at = 127 + len(root) + len(leaf)
    places = (127, len(root), 0, 0, 127 + len(root), len(leaf), tiles_at, at, 0, 0, 0)
    header = struct.pack("<7sB11QBBBBBB", b"PMTiles", 3, *places, 1, 2, 2, 1, 0, most)
    path.write_bytes(header.ljust(127, b"\0") + root + leaf + b"".join(contents.values()))
    return path


def degrees(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    return np.column_stack((lon, lat))


def test_tiles_are_numbered_along_a_hilbert_curve() -> None:
    # From the specification's table of tile ids.
    assert [tile_id(*tile) for tile in ((0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0))] == [
        *range(5)
    ]
    assert tile_id(2, 0, 0) == 5
    assert tile_id(12, 3423, 1763) == 19078479


@pytest.mark.parametrize("leaves", [False, True])
def test_the_finest_tiles_that_are_few_are_drawn(tmp_path: Path, leaves: bool) -> None:
    tile = layer("water", AREA, WHOLE) + layer("roads", LINE, ACROSS) + layer("pois", 1, [(9, 9)])
    tiles = {0: layer("earth", AREA, WHOLE), tile_id(1, 1, 0): tile, tile_id(2, 0, 0): tile}
    base_map = BaseMap.open(archive(tmp_path / "a.pmtiles", tiles, leaves=leaves))

    drawn = base_map.paths(EARTH, degrees)

    assert drawn == {
        Ground.WATER: "M0 85.1L180 85.1L180 0L0 0z",
        Ground.STREET: "M0 66.5L180 66.5",
    }
    near = Bounds(80.0, -170.0, 81.0, -169.0)
    assert base_map.paths(near, degrees)[Ground.STREET] == "M-180 79.2L-90 79.2"


def test_a_run_of_equal_tiles_is_stored_once(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pmtiles", {1: layer("ocean", AREA, WHOLE)}, most=1, run=3)

    tiles = [TileArchive.open(path).tile(1, x, y) for x, y in ((0, 0), (0, 1), (1, 1), (1, 0))]

    assert tiles == [layer("ocean", AREA, WHOLE)] * 3 + [None]


@pytest.mark.parametrize(
    "content",
    [b"", b"PMTiles", b"PK\x03\x04" + bytes(200), b"PMTiles\x02" + bytes(200)],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.pmtiles"
    path.write_bytes(content)

    with pytest.raises(InvalidSettings, match="review_base_map"):
        BaseMap.open(path)
    with pytest.raises(InvalidSettings, match="cannot read"):
        BaseMap.open(tmp_path / "missing.pmtiles")


def test_damaged_tiles_are_left_out(tmp_path: Path) -> None:
    good = layer("water", AREA, WHOLE)
    tiles = {1: good, 2: good[:-9], 3: b"\xff" * 40, 4: field(3, field(2, field(4, b"\x09")))}
    path = archive(tmp_path / "a.pmtiles", tiles, most=1)

    assert set(BaseMap.open(path).paths(EARTH, degrees)) == {Ground.WATER}
    for length in range(127, path.stat().st_size, 7):
        cut = tmp_path / "cut.pmtiles"
        cut.write_bytes(path.read_bytes()[:length])
        BaseMap.open(cut).paths(EARTH, degrees)


def test_streets_lie_below_the_drives(tmp_path: Path) -> None:
    tile = layer("transportation", LINE, ACROSS)
    tiles = {tile_id(14, x, y): tile for x in range(8801, 8804) for y in range(5370, 5376)}
    base_map = BaseMap.open(archive(tmp_path / "a.pmtiles", tiles, most=14))
    needles = [row("a"), row("b")]
    assert needles[0].needle == needle_found("a")
    positions = {FrameId("a"): NORTH_WEST, FrameId("b"): SOUTH_EAST}

    drawn = drive_map(needles, positions, {}, base_map=base_map)

    assert drawn is not None
    assert set(drawn.ground) == {Ground.STREET}
    ends = [part.split("L")[0] for part in drawn.ground[Ground.STREET].split("M")[1:]]
    assert len(ends) > 1
    assert all(-2000 < float(number) < 3000 for end in ends for number in end.split())
