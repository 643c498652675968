"""COCO: one picture is one frame, and boxes are where the picture shows them."""

import json
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from services.contracts.identity import FrameId
from services.formats.adjustments import Adjustment
from services.formats.items import Detector, FrameItem, Item, Rejection
from services.formats.readers.coco import read_coco
from services.formats.readers.returned import Manifest, NamedFrame
from tests.unit.ingest.datasets import (
    Json,
    coco,
    detection,
    frames,
    rejections,
    write_images,
    write_json,
)

DETECTOR = Detector("ods", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", "b.jpg", "c d.jpg")
    return tmp_path


def read(
    folder: Path, truth: object, results: object = None, sent: Manifest | None = None
) -> list[Item]:
    dataset = read_coco(
        write_json(folder / "street.json", truth),
        images=folder / "images",
        predictions=None if results is None else write_json(folder / "dt.json", results),
        detector=DETECTOR,
        sent=sent,
    )
    items = list(dataset.items)
    assert dataset.frames == sum(
        isinstance(item, FrameItem) or item.whole_frame
        for item in items
        if isinstance(item, FrameItem | Rejection)
    )
    return items


def twice(name: str, *annotations: Json) -> Json:
    """The file of image 2 again, as image 99."""
    content = coco()
    content["images"].append({"id": 99, "file_name": name, "width": 64, "height": 48})
    content["annotations"] += [
        {"id": 100, "image_id": 99, "category_id": 1, **annotation} for annotation in annotations
    ]
    return content


@pytest.mark.parametrize("name", ["b.jpg", "./b.jpg", ".\\b.jpg", "x/../b.jpg"])
@pytest.mark.parametrize(
    ("bbox", "complete"),
    [([1, 2, 10, 10], True), ([1, 2, 10, 0], True), ([30, 2, 10, 10], False)],
)
def test_a_file_under_a_second_id_is_refused_with_what_is_said_of_it(
    folder: Path, name: str, bbox: list[float], *, complete: bool
) -> None:
    items = read(folder, twice(name, {"bbox": bbox}), [detection()])

    (refused,) = rejections(items)
    assert (refused.reason, refused.whole_frame) == ("duplicate_id", True)
    assert refused.location.endswith("street.json:images[2]")
    assert len(json.loads(refused.raw)["annotations"]) == 1
    first, other = frames(items)
    assert len(first.annotations or ()) == 2
    assert (first.complete, other.complete) == (complete, True)


def test_a_decomposed_name_is_the_same_file(folder: Path) -> None:
    images = folder / "images"
    (images / "b.jpg").rename(images / normalize("NFC", "é.jpg"))
    content = twice(normalize("NFD", "é.jpg"))
    content["images"][0]["file_name"] = normalize("NFC", "é.jpg")
    (refused,) = rejections(read(folder, content, [detection()]))
    assert refused.reason == "duplicate_id"


def test_detections_of_the_second_id_are_missing_from_the_first(folder: Path) -> None:
    found = [detection(image_id=99), detection(image_id=10)]

    first, other = frames(read(folder, twice("b.jpg"), found))

    assert (first.detections, first.detections_complete) == (None, False)
    assert (len(other.detections or ()), other.detections_complete) == (1, True)


def test_versions_of_one_frame_of_an_export_are_all_given(folder: Path) -> None:
    sent = Manifest({name: NamedFrame(FrameId(f"sent {name}"), (64, 48)) for name in ("b", "c d")})
    write_images(folder / "images", "train/b.jpg")

    items = read(folder, twice("train/b.jpg", {"bbox": [3, 3, 5, 5]}), sent=sent)

    assert [frame.frame_id for frame in frames(items)] == ["sent b", "sent b", "sent c d"]
    assert [frame.complete for frame in frames(items)] == [True] * 3


def test_two_files_of_one_id_are_both_refused(folder: Path) -> None:
    content = coco()
    content["images"].append({"id": 2, "file_name": "c d.jpg", "width": 64, "height": 48})

    items = list(read_coco(write_json(folder / "x.json", content), images=None).items)

    assert [rejection.reason for rejection in rejections(items)] == ["duplicate_id", "duplicate_id"]
    assert "may be of either" in rejections(items)[1].detail
    assert [frame.frame_id for frame in frames(items)] == ["x:000000000010"]


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (90.0, [0, 130, 43, 27]),
        ("90.0", [0, 130, 43, 27]),
        (-90, [0, 130, 43, 27]),
        (0, [8, 122, 27, 43]),
        (0.0, [8, 122, 27, 43]),
        (None, [8, 122, 27, 43]),
        (180, [8, 122, 27, 43]),
    ],
)
@pytest.mark.parametrize("part", ["annotation", "detection"])
def test_the_upright_box_around_a_rotated_one_is_taken(
    folder: Path, part: str, rotation: object, expected: list[float]
) -> None:
    turned = {"bbox": [8, 122, 27, 43], "attributes": {"rotation": rotation, "occluded": False}}
    content = coco(annotations=[{"image_id": 2, "category_id": 1, **turned}])
    results = [detection(**turned)] if part == "detection" else None

    frame = frames(read(folder, content, results))[0]

    parts: Any = frame.detections if results else frame.annotations
    assert [list(item.value.bbox) for item in parts] == [expected]
    count = 2 if results else 1
    is_turned = expected != [8, 122, 27, 43]
    assert frame.adjustments == ({Adjustment.ROTATED_BOX: count} if is_turned else {})


def rectangle(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y, x + width, y + height, x, y + height]


@pytest.mark.parametrize(
    ("polygon", "expected", "masked"),
    [
        (rectangle(20, 10, 20, 10), [25, 5, 10, 20], False),
        (rectangle(25, 5, 10, 20), [25, 5, 10, 20], True),
        ([30, 5, 40, 15, 30, 25, 20, 15], [20, 5, 20, 20], True),
    ],
)
def test_a_polygon_of_a_rotated_box_shows_where_it_is(
    folder: Path, polygon: list[float], expected: list[float], *, masked: bool
) -> None:
    turned = {"bbox": [20, 10, 20, 10], "attributes": {"rotation": 90}, "segmentation": [polygon]}
    content = coco(annotations=[{"image_id": 2, "category_id": 1, **turned}])

    (annotation,) = frames(read(folder, content))[0].annotations or ()

    assert list(annotation.value.bbox) == pytest.approx(expected, abs=1)
    assert (annotation.value.mask is not None) == masked


def runs(size: tuple[int, int], box: tuple[int, int, int, int]) -> Json:
    x, y, width, height = box
    drawn = np.asfortranarray(np.zeros(size[::-1], dtype=np.uint8))
    drawn[y : y + height, x : x + width] = 1
    counts = coco_mask.encode(drawn)["counts"].decode()
    return {"size": [size[1], size[0]], "counts": counts}


@pytest.mark.parametrize(
    "bbox", [[10, 6, 8, 4], [20, 12, 16, 8], None], ids=["of_image", "of_mask", "none"]
)
def test_a_mask_of_another_size_is_scaled_and_its_box_with_it(folder: Path, bbox: object) -> None:
    segmentation = runs((128, 96), (20, 12, 16, 8))

    frame = frames(read(folder, coco(), [detection(bbox=bbox, segmentation=segmentation)]))[0]

    (found,) = (part.value for part in frame.detections or ())
    assert list(found.bbox) == [10, 6, 8, 4]
    assert found.mask is not None
    assert found.mask.model_dump(mode="json") == runs((64, 48), (10, 6, 8, 4))
    assert frame.adjustments[Adjustment.MASK_SCALED] == 1


def test_a_refused_annotation_where_another_was_taken_hides_nothing(folder: Path) -> None:
    content = coco()
    same = content["annotations"][0] | {"area": "large"}
    other = same | {"bbox": [30, 20, 5, 5]}

    again = read(folder, content | {"annotations": [*content["annotations"], same]})
    missing = read(folder, content | {"annotations": [*content["annotations"], other]})

    for items in (again, missing):
        assert [rejection.reason for rejection in rejections(items)] == ["invalid_area"]
    assert [frames(items)[0].complete for items in (again, missing)] == [True, False]


def test_a_category_that_is_named_says_more_than_its_number(folder: Path) -> None:
    results = [
        detection(category_id=7, category_name="stop sign"),
        detection(category_id=1, category_name="a kind of sign"),
    ]

    frame = frames(read(folder, coco(), results))[0]

    assert [part.value.category for part in frame.detections or ()] == ["stop sign"] * 2
    assert frame.adjustments == {Adjustment.CATEGORY_BY_NAME: 1}


def test_a_number_that_is_also_a_categorys_name_is_refused(folder: Path) -> None:
    content = coco(categories=[{"id": 1, "name": "7"}, {"id": 7, "name": "crossing"}])
    results = [detection(category_id="7"), detection(category_id=7)]

    items = read(folder, content, results)

    assert [rejection.reason for rejection in rejections(items)] == ["unknown_category"]
    assert "2 categories" in rejections(items)[0].detail


@pytest.mark.parametrize("size", [(128, 96), (128.0, 96.0), ("128", "96"), ("128.0", "96.0")])
def test_a_declared_size_is_a_size_however_it_is_written(
    folder: Path, size: tuple[object, object]
) -> None:
    content = coco()
    content["images"][0] |= dict(zip(("width", "height"), size, strict=True))

    (frame, _) = frames(read(folder, content))

    assert frame.size == (128, 96)


@pytest.mark.parametrize("side", [0, -64, 64.5, float("nan"), float("inf"), "wide", True, None, []])
def test_what_is_no_size_declares_none(folder: Path, side: object) -> None:
    content = coco()
    content["images"][0]["width"] = side

    (frame, _) = frames(read(folder, content))

    assert frame.size is None


@pytest.mark.parametrize("named", [{"image_id": None}, {"image_id": True}, {"image_id": 1.5}])
def test_a_record_that_names_no_image_may_belong_to_any(folder: Path, named: Json) -> None:
    truth = coco()
    truth["annotations"][0] |= named
    of_truth = frames(read(folder, truth, [detection()]))
    of_results = frames(read(folder, coco(), [detection(), detection() | named]))

    assert [frame.complete for frame in of_truth] == [False, False]
    assert [frame.detections_complete for frame in of_truth] == [True, True]
    assert [frame.complete for frame in of_results] == [True, True]
    assert [frame.detections_complete for frame in of_results] == [False, False]
    # The one without any is not an image on which the detector found nothing.
    assert [frame.detections is None for frame in of_results] == [False, True]


def test_a_record_of_another_data_sets_image_is_missing_from_none(folder: Path) -> None:
    results = [detection(), detection() | {"image_id": 77}]

    read_frames = frames(read(folder, coco(), results))

    assert [frame.detections_complete for frame in read_frames] == [True, True]
