import gzip
import tracemalloc
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import write

from services.annotation.review.base_map import BaseMap, Bounds, Ground
from services.annotation.review.drive_map import drive_map
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


def archive(path: Path, tiles: Mapping[int, bytes]) -> Path:
    """A PMTiles file of these tiles, by their number."""
    header = {"tile_type": TileType.MVT, "tile_compression": Compression.GZIP}
    with write(str(path)) as writer:
        for number, tile in sorted(tiles.items()):
            writer.write_tile(number, gzip.compress(tile))
        writer.finalize(header, {})
    return path


def degrees(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    return np.column_stack((lon, lat))


def test_the_finest_tiles_that_are_few_are_drawn(tmp_path: Path) -> None:
    tile = layer("water", AREA, WHOLE) + layer("roads", LINE, ACROSS) + layer("pois", 1, [(9, 9)])
    tiles = {
        0: layer("earth", AREA, WHOLE),
        zxy_to_tileid(1, 1, 0): tile,
        zxy_to_tileid(2, 0, 0): layer("roads", LINE, ACROSS),
    }
    base_map = BaseMap.open(archive(tmp_path / "a.pmtiles", tiles))

    drawn = base_map.paths(EARTH, degrees)

    assert drawn == {
        Ground.WATER: "M0 85.1L180 85.1L180 0L0 0z",
        Ground.STREET: "M0 66.5L180 66.5",
    }
    near = Bounds(80.0, -170.0, 81.0, -169.0)
    assert base_map.paths(near, degrees)[Ground.STREET] == "M-180 79.2L-90 79.2"


def test_a_wide_view_of_fine_tiles_takes_little_memory(tmp_path: Path) -> None:
    tiles = {zxy_to_tileid(9, 0, 0): layer("roads", LINE, ACROSS)}
    base_map = BaseMap.open(archive(tmp_path / "a.pmtiles", tiles))

    tracemalloc.start()
    drawn = base_map.paths(EARTH, lambda lat, lon: 10 * degrees(lat, lon))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert set(drawn) == {Ground.STREET}
    assert peak_bytes < 2_000_000  # a list of the 262,144 tiles takes 20 MB


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
    path = archive(tmp_path / "a.pmtiles", tiles)

    assert set(BaseMap.open(path).paths(EARTH, degrees)) == {Ground.WATER}
    for length in range(127, path.stat().st_size, 7):
        cut = tmp_path / "cut.pmtiles"
        cut.write_bytes(path.read_bytes()[:length])
        BaseMap.open(cut).paths(EARTH, degrees)


def test_streets_lie_below_the_drives(tmp_path: Path) -> None:
    tile = layer("transportation", LINE, ACROSS)
    tiles = {zxy_to_tileid(14, x, y): tile for x in range(8801, 8804) for y in range(5370, 5376)}
    base_map = BaseMap.open(archive(tmp_path / "a.pmtiles", tiles))
    needles = [row("a"), row("b")]
    assert needles[0].needle == needle_found("a")
    positions = {FrameId("a"): NORTH_WEST, FrameId("b"): SOUTH_EAST}

    drawn = drive_map(needles, positions, {}, base_map=base_map)

    assert drawn is not None
    assert set(drawn.ground) == {Ground.STREET}
    ends = [part.split("L")[0] for part in drawn.ground[Ground.STREET].split("M")[1:]]
    assert len(ends) > 1
    assert all(-2000 < float(number) < 3000 for end in ends for number in end.split())
