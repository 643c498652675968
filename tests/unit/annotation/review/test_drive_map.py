import math

from services.annotation.ports.needle_lists import NeedleRow
from services.annotation.review.drive_map import HEIGHT, WIDTH, drive_map
from services.contracts.identity import DriveId, FrameId
from tests.samples import needle_found

NORTH_WEST, SOUTH_EAST = (52.51, 13.40), (52.50, 13.42)
DRIVE = DriveId("d1")


def row(frame: str) -> NeedleRow:
    return NeedleRow(needle_found(frame), 3, None, extended=False)


def test_needles_and_paths_fill_the_drawing_north_up() -> None:
    rows = [row("b"), row("a")]
    positions = {FrameId("a"): NORTH_WEST, FrameId("b"): SOUTH_EAST}

    path, others = [NORTH_WEST, NORTH_WEST, SOUTH_EAST], [NORTH_WEST, (0.0, 0.0)]

    drawn = drive_map(rows, positions, {DRIVE: path}, others)

    assert drawn is not None
    first, second = drawn.pins
    assert [pin.rows for pin in drawn.pins] == [[rows[1]], [rows[0]]]
    assert (first.number, second.number) == (1, 2)
    assert 0 < first.x < second.x < WIDTH
    assert 0 < first.y < second.y < HEIGHT
    assert drawn.paths == {DRIVE: f"M{first.x:g} {first.y:g}L{second.x:g} {second.y:g}"}
    assert drawn.dots == f"M{round(first.x)} {round(first.y)}h0"
    length, label = drawn.scale
    metres = math.dist((0, 0), (0.01 * 111_320, 0.02 * 111_320 * math.cos(math.radians(52.505))))
    across = math.dist((first.x, first.y), (second.x, second.y))
    assert label == "200 m"
    assert math.isclose(length / 200, across / metres, rel_tol=0.01)


def test_needles_at_one_place_share_a_pin() -> None:
    rows = [row("a"), row("b"), row("nowhere")]
    positions = {FrameId(name): NORTH_WEST for name in "ab"}

    drawn = drive_map(rows, positions, {DRIVE: [NORTH_WEST], DriveId("d2"): []})

    assert drawn is not None
    (pin,) = drawn.pins
    assert pin.rows == rows[:2]
    assert drawn.missing == 1
    assert drawn.paths == {DRIVE: f"M{pin.x:g} {pin.y:g}h0"}


def test_without_a_position_there_is_no_map() -> None:
    assert drive_map([row("a")], {}, {}) is None
