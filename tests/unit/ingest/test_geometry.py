import math

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from services.contracts.errors import InvalidRecord
from services.contracts.events import Rle
from services.contracts.identity import Box
from services.formats.geometry import (
    Size,
    is_scaling,
    scaled_box,
    turned_box,
    turned_size,
    upright_box,
)
from services.formats.masks import moved

TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What Pillow does for each EXIF orientation (`ImageOps.exif_transpose`)."""


def drawn(size: Size, box: tuple[int, int, int, int]) -> Image.Image:
    x, y, width, height = box
    pixels = np.zeros(size[::-1], dtype=np.uint8)
    pixels[y : y + height, x : x + width] = 1
    return Image.fromarray(pixels)


def encoded(picture: Image.Image) -> Rle:
    rle = coco_mask.encode(np.asfortranarray(np.asarray(picture)))
    return Rle(size=(picture.height, picture.width), counts=rle["counts"].decode())


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (0, (34, 145, 47, 45)),
        (90, (35, 144, 45, 47)),
        (-90, (35, 144, 45, 47)),
        (180, (34, 145, 47, 45)),
        (270.0, (35, 144, 45, 47)),
        (360, (34, 145, 47, 45)),
    ],
)
def test_a_box_rotated_by_right_angles_is_exact(degrees: float, expected: Box) -> None:
    assert upright_box((34, 145, 47, 45), degrees) == expected


@pytest.mark.parametrize("degrees", [0.5, 30, 45, 89.9, 123.4, -30, 400])
def test_the_upright_box_holds_all_corners_and_touches_them(degrees: float) -> None:
    x, y, width, height = 10.0, 20.0, 30.0, 8.0
    turn = math.radians(degrees)
    middle = np.array([x + width / 2, y + height / 2])
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    placed = corners @ matrix.T + middle

    left, top, wide, high = upright_box((x, y, width, height), degrees)

    assert [left, top] == pytest.approx(placed.min(axis=0))
    assert [left + wide, top + high] == pytest.approx(placed.max(axis=0))


@pytest.mark.parametrize("degrees", [math.nan, math.inf])
def test_an_angle_that_is_none_is_refused(degrees: float) -> None:
    with pytest.raises(InvalidRecord, match="not an angle"):
        upright_box((1, 2, 3, 4), degrees)


@pytest.mark.parametrize("orientation", TURNS)
def test_boxes_and_masks_turn_as_pillow_turns_pictures(orientation: int) -> None:
    stored, box = (32, 24), (3, 5, 11, 4)
    turn = TURNS[orientation]
    picture = drawn(stored, box)
    upright = picture if turn is None else picture.transpose(turn)

    found = turned_box(box, stored, orientation)

    rows, columns = np.nonzero(np.asarray(upright))
    corner, size = (columns.min(), rows.min()), (np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert list(found) == [int(side) for side in (*corner, *size)]
    assert turned_size(stored, orientation) == upright.size
    assert moved(encoded(picture), orientation, upright.size) == encoded(upright)


def test_a_mask_is_scaled_as_its_box_is() -> None:
    small, box = (32, 24), (4, 6, 8, 10)

    double = moved(encoded(drawn(small, box)), 1, (64, 48))

    assert double == encoded(drawn((64, 48), (8, 12, 16, 20)))
    assert moved(double, 1, small) == encoded(drawn(small, box))
    assert scaled_box(box, small, (64, 48)) == (8, 12, 16, 20)


def test_a_mask_beyond_all_pictures_is_not_drawn() -> None:
    with pytest.raises(InvalidRecord, match="pixels"):
        moved(Rle(size=(2**16, 2**15), counts="PPPPPP2"), 1, (64, 48))


@pytest.mark.parametrize(
    ("declared", "actual", "scaled"),
    [
        ((320, 240), (160, 120), True),
        ((160, 120), (320, 240), True),
        ((1920, 1080), (640, 360), True),
        ((1333, 750), (1920, 1080), True),
        ((1920, 1088), (1920, 1080), False),
        ((640, 640), (640, 480), False),
        ((240, 320), (320, 240), False),
        ((1, 1), (320, 240), False),
        ((4, 3), (320, 240), True),
    ],
)
def test_a_scaling_keeps_the_ratio_of_the_sides(declared: Size, actual: Size, scaled: bool) -> None:
    assert is_scaling(declared, actual) is scaled
