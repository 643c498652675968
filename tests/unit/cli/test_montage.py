from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from services.contracts.events import Rle
from services.runtime.montage import MAX_TILES, Tile, montage

GREY = (90, 90, 90)
MAGENTA, GREEN = (255, 0, 200), (30, 220, 90)


def _tile(size: tuple[int, int] = (640, 360), *, wrong: bool | None = None) -> Tile:
    image = Image.new("RGB", size, GREY)
    return Tile(
        image, (300, 100, 200, 150), [(10, 10, 60, 60)], [(310, 90, 180, 160)], ["a"], wrong
    )


def _count(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


def test_predictions_are_dashed_and_ground_truth_is_solid() -> None:
    frame = montage("t", _tile(), []).crop((0, 40, 590, 380))
    dashed, solid = _count(frame, MAGENTA), _count(frame, GREEN)
    # The two boxes are about equally long; half of the dashed one is gaps.
    assert solid > 0
    assert 0.3 < dashed / solid < 0.75


@pytest.mark.parametrize("found", [0, 1, 5, 6, 10])
def test_every_number_of_frames_has_room(found: int) -> None:
    sheet = montage("t", _tile(), [_tile() for _ in range(found)])
    assert sheet.width < 2400
    assert sheet.height < 700


def test_more_than_ten_frames_are_cut_to_the_best_ten() -> None:
    tiles = [_tile() for _ in range(MAX_TILES)]
    assert montage("t", _tile(), [*tiles, _tile(wrong=True)]) == montage("t", _tile(), tiles)


def test_a_wrong_region_looks_different_from_a_right_one() -> None:
    wrong = montage("t", _tile(), [_tile(wrong=True)])
    right = montage("t", _tile(), [_tile(wrong=False)])
    assert wrong != right


@pytest.mark.parametrize("size", [(40, 40), (4000, 300), (300, 2000)])
def test_frames_of_any_shape_fit(size: tuple[int, int]) -> None:
    tile = Tile(Image.new("RGB", size, GREY), (5, 5, 4, 4), [], [], ["x" * 400], None)
    assert montage("t" * 400, tile, [tile]).height < 700


def test_a_small_region_is_magnified() -> None:
    image = Image.new("RGB", (640, 360), GREY)
    image.paste((10, 20, 250), (100, 100, 108, 108))
    sheet = montage("t", Tile(image, (100, 100, 8, 8), [], [], []), [])
    blue = (np.asarray(sheet).astype(int) - (10, 20, 250)).__abs__().sum(axis=2) < 30
    assert blue.sum() > 20 * 64


def test_masks_are_painted_over_the_frame() -> None:
    there = np.zeros((360, 640), np.uint8)
    there[120:200, 320:480] = 1
    found = rle.encode(np.asfortranarray(there))
    mask = Rle(size=(360, 640), counts=found["counts"].decode())

    plain = np.asarray(montage("t", _tile(), []), int)
    tinted = np.asarray(montage("t", replace(_tile(), mask=mask, truth_masks=[mask]), []), int)

    changed = (plain != tinted).any(axis=2).sum()
    scaled = 160 * 80 * (560 / 640) ** 2  # and once more where the region is magnified
    assert scaled < changed < 6 * scaled
