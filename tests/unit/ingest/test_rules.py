from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Detection, Rle
from services.contracts.identity import Box, Category, FrameId, VehicleId
from services.formats.adjustments import Adjustment
from services.formats.geometry import Size
from services.formats.items import FrameItem, Located
from services.formats.rules import Picture, fitted

SIGN = Category("sign")


def mask(size: Size, box: tuple[int, int, int, int] = (3, 5, 11, 4)) -> Rle:
    x, y, width, height = box
    drawn = np.asfortranarray(np.zeros(size[::-1], dtype=np.uint8))
    drawn[y : y + height, x : x + width] = 1
    return Rle(size=size[::-1], counts=coco_mask.encode(drawn)["counts"].decode())


def item(
    size: Size | None,
    bbox: Box = (34, 145, 47, 45),
    *,
    area: float | None = None,
    rle: Rle | None = None,
) -> FrameItem:
    truth = Annotation(category=SIGN, bbox=bbox, area=area, mask=rle)
    found = Detection(category=SIGN, bbox=bbox, score=0.5)
    return FrameItem(
        frame_id=FrameId("f"),
        vehicle_id=VehicleId("v"),
        location="gt.json:images[0]",
        image=None,
        size=size,
        annotations=(Located(truth, "gt"),),
        detections=(Located(found, "dt"),),
    )


def boxes(frame: FrameItem) -> list[Box]:
    truths = [part.value.bbox for part in frame.annotations or ()]
    return truths + [part.value.bbox for part in frame.detections or ()]


@pytest.mark.parametrize("declared", [None, (320, 240)])
def test_a_frame_of_its_images_size_stays_exactly_as_it_is(declared: Size | None) -> None:
    frame = item(declared, (1.1, 2.2, 3.3, 4.4), area=0.3, rle=mask((320, 240)))

    assert fitted(frame, Picture((320, 240))) == replace(frame, size=(320, 240))


def test_boxes_of_the_sensors_frame_turn_with_the_picture() -> None:
    frame = item((320, 240), area=2000, rle=mask((320, 240)))

    found = fitted(frame, Picture((240, 320), orientation=6))

    assert boxes(found) == [(50, 34, 45, 47)] * 2
    (truth,) = (part.value for part in found.annotations or ())
    assert (truth.area, truth.mask) == (2000, mask((240, 320), (231, 3, 4, 11)))
    assert found.adjustments == {Adjustment.TURNED: 1}


def test_boxes_of_a_resized_picture_are_scaled() -> None:
    found = fitted(item((320, 240), area=2000), Picture((160, 120)))

    assert boxes(found) == [(17, 72.5, 23.5, 22.5)] * 2
    assert [part.value.area for part in found.annotations or ()] == [500]
    assert found.adjustments == {Adjustment.SCALED: 1}


def test_boxes_may_have_to_be_turned_and_scaled() -> None:
    found = fitted(item((320, 240)), Picture((120, 160), orientation=6))

    assert boxes(found) == [(25, 17, 22.5, 23.5)] * 2
    assert found.adjustments == {Adjustment.TURNED: 1, Adjustment.SCALED: 1}


def test_detections_may_have_a_size_of_their_own() -> None:
    frame = replace(item((320, 240)), detections_size=(640, 480))

    found = fitted(frame, Picture((320, 240)))

    assert boxes(found) == [(34, 145, 47, 45), (17, 72.5, 23.5, 22.5)]
    assert found.detections_size is None


def test_masks_declare_a_size_where_nothing_else_does() -> None:
    frame = replace(item(None, rle=mask((320, 240))), detections=None)

    assert boxes(fitted(frame, Picture((160, 120)))) == [(17, 72.5, 23.5, 22.5)]


def test_a_mask_of_another_size_is_left_out_and_counted() -> None:
    found = fitted(item((320, 240), rle=mask((64, 48))), Picture((320, 240)))

    assert [part.value.mask for part in found.annotations or ()] == [None]
    assert found.adjustments == {Adjustment.MASK_LEFT_OUT: 1}


@pytest.mark.parametrize(
    ("declared", "picture"),
    [
        ((240, 320), Picture((320, 240))),
        ((640, 640), Picture((320, 240))),
        ((321, 200), Picture((240, 320), orientation=6)),
        ((330, 330), Picture((331, 329), orientation=6)),
    ],
)
def test_what_neither_turning_nor_scaling_explains_is_refused(
    declared: Size, picture: Picture
) -> None:
    with pytest.raises(InvalidRecord, match="correct width and height") as caught:
        fitted(item(declared), picture)

    assert caught.value.reason == "size_mismatch"


def test_masks_of_two_sizes_declare_none() -> None:
    frame = item(None, rle=mask((320, 240)))
    other = item(None, rle=mask((64, 48))).annotations or ()

    with pytest.raises(InvalidRecord, match="2 sizes"):
        fitted(
            replace(frame, annotations=(*(frame.annotations or ()), *other)), Picture((320, 240))
        )


def test_a_frame_without_boxes_needs_no_size() -> None:
    frame = replace(item((1, 7)), annotations=(), detections=None)

    assert fitted(frame, Picture((320, 240))) == replace(frame, size=(320, 240))


@pytest.mark.parametrize(
    ("declared", "picture", "assumed"),
    [
        (None, Picture((240, 320), orientation=6), True),
        ((240, 320), Picture((240, 320), orientation=6), False),
        ((320, 240), Picture((320, 240), orientation=3), True),
        ((320, 320), Picture((320, 320), orientation=6), True),
        (None, Picture((320, 240)), False),
    ],
)
def test_an_orientation_that_the_size_does_not_settle_is_counted(
    declared: Size | None, picture: Picture, assumed: bool
) -> None:
    found = fitted(item(declared), picture)

    assert boxes(found) == [(34, 145, 47, 45)] * 2
    assert found.adjustments == Counter({Adjustment.ORIENTATION_ASSUMED: 1} if assumed else {})
