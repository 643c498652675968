import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from services.contracts.errors import InvalidRecord
from services.contracts.events import Position, Rle
from services.formats.adjustments import Adjustment
from services.formats.items import UNKNOWN_TIME, Detector, Item, RecordKind
from services.formats.readers.coco import read_coco
from tests.unit.ingest.datasets import (
    Json,
    coco,
    detection,
    frames,
    rejections,
    write_images,
    write_json,
)
from tests.unit.ingest.evaluation import evaluated

DETECTOR = Detector("ods", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", "b.jpg", "c d.jpg")
    return tmp_path


def read(folder: Path, truth: object, results: object = None) -> list[Item]:
    predictions = None if results is None else write_json(folder / "dt.json", results)
    dataset = read_coco(
        write_json(folder / "street.json", truth),
        images=folder / "images",
        predictions=predictions,
        detector=DETECTOR,
    )
    return list(dataset.items)


def reasons(items: list[Item]) -> list[str]:
    return [rejection.reason for rejection in rejections(items)]


def test_frames_come_in_the_order_of_their_numbers(folder: Path) -> None:
    found = frames(read(folder, coco()))

    assert [frame.frame_id for frame in found] == ["street:000000000002", "street:000000000010"]
    assert [frame.image and frame.image.name for frame in found] == ["b.jpg", "c d.jpg"]


def test_an_image_has_the_tags_that_its_record_names(folder: Path) -> None:
    truth = coco()
    truth["images"][0]["tags"] = {"weather": "rain", "lanes": 2, "wet": True, "of": ["a", "list"]}
    items = read(folder, truth)
    assert [frame.tags for frame in frames(items)] == [
        {"weather": "rain", "lanes": "2", "wet": "true"},
        None,
    ]
    assert reasons(items) == []


@pytest.mark.parametrize(
    "tags", [{f"key{k}": "x" for k in range(33)}, {"k" * 65: "x"}, {"key": "x" * 129}, ["rain"]]
)
def test_tags_beyond_their_bounds_are_refused_and_the_image_is_kept(
    folder: Path, tags: object
) -> None:
    truth = coco()
    truth["images"][0]["tags"] = tags
    items = read(folder, truth)
    assert reasons(items) == ["malformed_record"]
    assert [frame.tags for frame in frames(items)] == [None, None]


def test_annotated_and_empty_is_not_unannotated(folder: Path) -> None:
    truth = coco()

    assert frames(read(folder, truth))[1].annotations == ()

    del truth["annotations"]
    assert frames(read(folder, truth))[1].annotations is None


def test_a_detector_that_found_nothing_has_looked(folder: Path) -> None:
    looked, empty = frames(read(folder, coco(), [detection()]))

    assert [len(frame.detections or ()) for frame in (looked, empty)] == [1, 0]
    assert empty.detections == ()
    assert frames(read(folder, coco()))[0].detections is None


def test_annotations_keep_area_and_crowd(folder: Path) -> None:
    annotations = frames(read(folder, coco()))[0].annotations or ()

    sign, crossing = (annotation.value for annotation in annotations)
    assert (sign.category, sign.bbox, sign.area, sign.crowd) == (
        "stop sign",
        (1, 2, 10, 10),
        90,
        False,
    )
    assert (crossing.area, crossing.crowd) == (None, True)


def test_a_frame_says_where_and_when_if_the_data_set_does(folder: Path) -> None:
    truth = coco()
    truth["images"][0] |= {
        "vehicle_id": "car 7",
        "drive_id": 3,
        "captured_at": "2026-05-04T12:00:00+02:00",
        "lat": 52.5,
        "lon": 13.4,
        "heading": 360,
    }
    truth["images"][1]["date_captured"] = "2013-11-14 17:02:52"

    first, second = frames(read(folder, truth))

    assert (first.vehicle_id, first.drive_id) == ("car%207", "3")
    assert first.captured_at == datetime(2026, 5, 4, 10, tzinfo=UTC)
    assert first.position == Position(lat=52.5, lon=13.4, heading=0)
    assert (second.vehicle_id, second.drive_id) == ("street", None)
    assert second.captured_at == datetime(2013, 11, 14, 17, 2, 52, tzinfo=UTC)


def test_a_frame_without_a_time_is_of_1970(folder: Path) -> None:
    truth = coco()
    truth["images"][0]["date_captured"] = "last summer"

    assert [frame.captured_at for frame in frames(read(folder, truth))] == [UNKNOWN_TIME] * 2


def test_a_frame_may_bring_its_own_id(folder: Path) -> None:
    truth = coco()
    truth["images"][1]["frame_id"] = "a/frame"

    assert [frame.frame_id for frame in frames(read(folder, truth))] == [
        "a/frame",
        "street:000000000002",
    ]


BAD_DETECTIONS: list[tuple[str, Json]] = [
    ("unknown_image", {"image_id": 3}),
    ("unknown_image", {"image_id": "3"}),
    ("malformed_record", {"image_id": None}),
    ("malformed_record", {"image_id": [2]}),
    ("malformed_record", {"image_id": True}),
    ("unknown_category", {"category_id": 2}),
    ("score_not_finite", {"score": float("nan")}),
    ("score_not_finite", {"score": float("inf")}),
    ("score_not_finite", {"score": 10**400}),
    ("score_out_of_range", {"score": 1.01}),
    ("score_out_of_range", {"score": -0.1}),
    ("malformed_record", {"score": "0.5"}),
    ("malformed_record", {"score": True}),
    ("malformed_record", {"score": None}),
    ("malformed_record", {"bbox": [1, 2, 3]}),
    ("malformed_record", {"bbox": {"x": 1}}),
    ("malformed_record", {"bbox": [1, 2, "3", 4]}),
    ("malformed_record", {"bbox": None}),
    ("box_not_finite", {"bbox": [1, 2, float("nan"), 4]}),
    ("box_not_finite", {"bbox": [10**400, 2, 3, 4]}),
    ("box_without_area", {"bbox": [1, 2, 0, 4]}),
    ("box_inverted", {"bbox": [1, 2, 3, -4]}),
    ("box_out_of_range", {"bbox": [1, 2, 1e300, 1e300]}),
    ("invalid_mask", {"bbox": None, "segmentation": {"size": [48, 64], "counts": "0"}}),
]


@pytest.mark.parametrize(("reason", "change"), BAD_DETECTIONS)
def test_a_bad_detection_is_named_and_the_rest_goes_through(
    folder: Path, reason: str, change: Json
) -> None:
    items = read(folder, coco(), [detection(), detection(**change), detection(score=0.25)])

    assert reasons(items) == [reason]
    assert [part.value.score for part in frames(items)[0].detections or ()] == [0.5, 0.25]
    rejection = rejections(items)[0]
    assert rejection.location == f"{folder}/dt.json:[1]"
    assert json.loads(rejection.raw).keys() >= {"image_id", "score"}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("unknown_image", {"image_id": 5}),
        ("unknown_category", {"category_id": "2"}),
        ("invalid_crowd", {"iscrowd": "yes"}),
        ("invalid_crowd", {"iscrowd": 0.5}),
        ("invalid_crowd", {"iscrowd": []}),
        ("rotated_box", {"attributes": {"rotation": "a bit"}}),
        ("invalid_area", {"area": -1}),
        ("invalid_area", {"area": float("nan")}),
        ("invalid_area", {"area": "9"}),
        ("box_without_area", {"bbox": [1, 1, 0, 0]}),
    ],
)
def test_a_bad_annotation_is_named_and_the_rest_goes_through(
    folder: Path, reason: str, change: Json
) -> None:
    truth = coco()
    truth["annotations"].append(truth["annotations"][0] | {"id": 3} | change)

    items = read(folder, truth)

    assert reasons(items) == [reason]
    assert len(frames(items)[0].annotations or ()) == 2


@pytest.mark.parametrize(
    ("change", "complete"),
    [
        ({"bbox": [1, 1, 0, 0]}, True),
        ({"bbox": [1, 1, 5, float("nan")]}, False),
        ({"category_id": 99}, False),
        ({"segmentation": "a mask that is refused; its box is kept"}, True),
    ],
)
def test_a_frame_is_complete_unless_a_refused_annotation_may_hide_an_object(
    folder: Path, change: Json, *, complete: bool
) -> None:
    truth = coco()
    truth["annotations"][0] |= change

    first, second = frames(read(folder, truth))

    assert (first.complete, second.complete) == (complete, True)


def test_a_frame_whose_detections_are_all_refused_has_no_predictions(folder: Path) -> None:
    first, second = frames(read(folder, coco(), [detection(score=9)]))

    assert (first.detections, first.detections_complete) == (None, False)
    assert (second.detections, second.detections_complete) == ((), True)
    assert first.adjustments == {Adjustment.NO_DETECTIONS_LEFT: 1}


def test_a_frame_some_of_whose_detections_are_refused_has_partial_predictions(
    folder: Path,
) -> None:
    partial, _ = frames(read(folder, coco(), [detection(), detection(score=9)]))

    assert (len(partial.detections or ()), partial.detections_complete) == (1, False)


def test_boxes_in_fractions_of_the_image_are_not_taken_as_pixels(folder: Path) -> None:
    truth, fractions = coco(), [0.2, 0.3, 0.1, 0.4]
    for annotation in truth["annotations"]:
        annotation["bbox"] = fractions
    # One box in a corner is one of the detector's, if others of its frame are elsewhere.
    corner = [detection(image_id=10), detection(image_id=10, bbox=fractions)]

    items = read(folder, truth, [detection(bbox=fractions), *corner])

    refused = rejections(items)
    assert [rejection.reason for rejection in refused] == 3 * ["box_in_fractions"]
    assert {rejection.frame_id for rejection in refused} == {"street:000000000002"}
    first, second = frames(items)
    assert (first.detections, first.detections_complete) == (None, False)
    assert first.adjustments == {Adjustment.NO_DETECTIONS_LEFT: 1}
    assert (first.annotations, first.complete) == ((), False)
    assert (len(second.detections or ()), second.detections_complete) == (2, True)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("missing_image", {"file_name": "gone.jpg"}),
        ("missing_image", {"file_name": "b.jpg/x"}),
        ("missing_image", {"file_name": "."}),
        ("missing_image", {"file_name": "a\0b"}),
        ("missing_image", {"file_name": "a" * 5000}),
        ("malformed_record", {"file_name": None}),
        ("path_outside_folder", {"file_name": "../street.json"}),
        ("path_outside_folder", {"file_name": "/etc/passwd"}),
        ("path_outside_folder", {"file_name": "link.jpg"}),
        ("path_outside_folder", {"file_name": "up/street.json"}),
        ("missing_image", {"file_name": "circle.jpg"}),
        ("missing_image", {"file_name": "pipe.jpg"}),
        ("invalid_time", {"captured_at": "yesterday"}),
        ("invalid_position", {"lat": 91, "lon": 0}),
        ("invalid_position", {"lat": 52}),
        ("invalid_position", {"lat": 1, "lon": float("nan")}),
        ("malformed_record", {"vehicle_id": ["v1"]}),
        ("malformed_record", {"drive_id": "d" * 300}),
        ("malformed_record", {"drive_id": "\ud800"}),
    ],
)
def test_a_bad_image_takes_all_that_hangs_on_it_into_one_dead_letter(
    folder: Path, reason: str, change: Json
) -> None:
    (folder / "images" / "link.jpg").symlink_to("/etc/passwd")
    (folder / "images" / "up").symlink_to(folder)
    (folder / "images" / "circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(folder / "images" / "pipe.jpg")
    truth = coco()
    truth["images"][0] |= change

    items = read(folder, truth, [detection()])

    assert reasons(items) == [reason]
    assert [frame.frame_id for frame in frames(items)] == ["street:000000000010"]
    rejection = rejections(items)[0]
    assert rejection.location == f"{folder}/street.json:images[0]"
    whole = json.loads(rejection.raw)
    assert [len(whole["annotations"]), len(whole["predictions"])] == [2, 1]


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("duplicate_id", {"id": 2, "file_name": "b.jpg"}),
        ("duplicate_id", {"id": 2.0, "file_name": "b.jpg"}),
        ("malformed_record", {"file_name": "b.jpg"}),
        ("malformed_record", {"id": 2.5, "file_name": "b.jpg"}),
        ("malformed_record", {"id": "x" * 300, "file_name": "b.jpg"}),
        ("malformed_record", {"id": 3, "file_name": "b.jpg", "frame_id": "a b"}),
        ("malformed_record", "b.jpg"),
        ("malformed_record", None),
    ],
)
def test_a_record_that_is_no_image_is_named(folder: Path, reason: str, record: object) -> None:
    truth = coco()
    truth["images"].append(record)

    items = read(folder, truth)

    assert reasons(items) == [reason]
    assert len(frames(items)) == 2


def test_images_may_be_a_link_to_a_folder(folder: Path) -> None:
    (folder / "images").rename(folder / "elsewhere")
    (folder / "images").symlink_to(folder / "elsewhere")

    assert reasons(read(folder, coco())) == []


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"", ":1: empty file"),
        (b'{"images": [\n  {]}', r":2: not JSON: .* \(column 4\)"),
        (b"\xff\xfe\xfd", ""),
        (b'{"images":\n "\xff"}', ":2"),
        (b"[" * 200_000, ":1"),
        (b"[1" + b"0" * 10_000 + b"]", ":1"),
        (b"[]", ""),
        (b'{"images": {}}', ""),
    ],
)
def test_a_file_that_cannot_be_read_says_where(folder: Path, content: bytes, where: str) -> None:
    file = folder / "broken.json"
    file.write_bytes(content)

    with pytest.raises(InvalidRecord, match=f"broken.json{where}"):
        read_coco(file, images=folder / "images")


def test_a_file_with_nan_or_a_byte_order_mark_is_read(folder: Path) -> None:
    text = json.dumps(coco()).replace("9.5", "NaN")
    (folder / "nan.json").write_bytes(b"\xef\xbb\xbf" + text.encode())

    items = list(read_coco(folder / "nan.json", images=folder / "images").items)

    assert reasons(items) == ["box_not_finite"]


def test_polygons_become_the_masks_that_pycocotools_draws(folder: Path) -> None:
    polygons = [[3, 3, 20, 4, 18, 30.5, 2, 25], [40, 10, 50, 10, 50, 20]]
    truth = coco()
    truth["annotations"][0]["segmentation"] = polygons

    mask = (frames(read(folder, truth))[0].annotations or ())[0].value.mask

    expected = coco_mask.merge(coco_mask.frPyObjects(polygons, 48, 64))
    assert mask is not None
    assert (mask.size, mask.counts) == ((48, 64), expected["counts"].decode())


def test_a_mask_alone_gives_the_box_around_it(folder: Path) -> None:
    drawn = np.asfortranarray(np.zeros((48, 64), dtype=np.uint8))
    drawn[10:20, 30:37] = 1
    encoded = coco_mask.encode(drawn)
    runs = {"size": [48, 64], "counts": encoded["counts"].decode()}

    found = frames(read(folder, coco(), [detection(bbox=None, segmentation=runs)]))[0]

    value = (found.detections or ())[0].value
    assert [*value.bbox] == [30, 10, 7, 10]
    assert value.mask == Rle(size=(48, 64), counts=runs["counts"])


@pytest.mark.parametrize("seed", range(20))
def test_any_mask_comes_through_as_it_was(folder: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = np.asfortranarray(random.random((48, 64)) < random.random(), dtype=np.uint8)
    drawn[5, 5] = 1
    counts = coco_mask.encode(drawn)["counts"].decode()
    segmentation = {"size": [48, 64], "counts": counts}

    found = frames(read(folder, coco(), [detection(segmentation=segmentation)]))[0]

    mask = (found.detections or ())[0].value.mask
    assert mask is not None
    assert mask.counts == counts


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, 1e9]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [["a"] * 6],
        [[0, 0, 64, 48] * 50_000],
        "mask",
        {"size": [48, 64], "counts": "\x00"},
        {"size": [48, 64], "counts": "oooo"},
        {"size": [48, 64], "counts": "o" * 1000},
        {"size": [48, 64], "counts": "€"},
        {"size": [48, 64], "counts": [1, 2]},
        {"size": [48, 64], "counts": [-1, 3073]},
        {"size": [48, 64], "counts": [1e3, 2072]},
        {"size": [4800, 64], "counts": [4800 * 64]},
        {"size": [-48, -64], "counts": [48 * 64]},
        {"size": [0, 64], "counts": []},
        {"size": 48, "counts": "0"},
    ],
)
def test_a_bad_mask_is_named_and_its_box_is_kept(folder: Path, segmentation: object) -> None:
    truth = coco()
    truth["annotations"][0]["segmentation"] = segmentation

    items = read(folder, truth)

    assert reasons(items) == ["invalid_mask"]
    first = (frames(items)[0].annotations or ())[0].value
    assert (first.bbox, first.mask) == ((1, 2, 10, 10), None)


def test_an_id_of_two_categories_is_named_and_means_neither(folder: Path) -> None:
    again = [*coco()["categories"], {"id": 1, "name": "billboard"}]

    items = read(folder, coco(categories=again), [detection(), detection(category_id=7)])

    repeated, annotation, found = rejections(items)
    assert repeated.reason == "duplicate_id"
    assert repeated.location.endswith(":categories[2]")
    assert (annotation.reason, annotation.kind) == ("unknown_category", RecordKind.ANNOTATION)
    assert annotation.detail == "2 categories are listed as 1"
    assert (found.reason, found.kind) == ("unknown_category", RecordKind.DETECTION)
    frame = frames(items)[0]
    assert [part.value.category for part in frame.annotations or ()] == ["crossing"]
    assert (frame.complete, frame.detections_complete) == (False, False)


def test_a_category_that_comes_twice_is_itself(folder: Path) -> None:
    again = [*coco()["categories"], {"id": 1, "name": "stop sign"}]

    items = read(folder, coco(categories=again))

    assert reasons(items) == ["duplicate_id"]
    assert len(frames(items)[0].annotations or ()) == 2
    assert frames(items)[0].complete


def test_a_name_says_which_category_of_one_id_is_meant(folder: Path) -> None:
    truth = coco(categories=[*coco()["categories"], {"id": 1, "name": "billboard"}])
    truth["annotations"][0]["category_name"] = "billboard"

    items = read(folder, truth)

    found = [part.value.category for part in frames(items)[0].annotations or ()]
    assert found == ["billboard", "crossing"]


def test_results_may_bring_their_own_categories(folder: Path) -> None:
    results = {
        "categories": [{"id": 70, "name": "crossing"}],
        "annotations": [detection(category_id=70), detection()],
    }

    found = frames(read(folder, coco(), results))[0].detections or ()

    assert [part.value.category for part in found] == ["crossing", "stop sign"]


def random_dataset(seed: int) -> tuple[Json, list[Json]]:
    """Boxes partly outside, ties, crowds, areas of their own, empty frames."""
    random = np.random.default_rng(seed)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in range(1, 12)]

    def box() -> list[float]:
        x, y = random.integers(-10, 50), random.integers(-10, 40)
        return [float(number) for number in (x, y, *random.integers(11, 40, 2))]

    def placed() -> Json:
        return {
            "image_id": int(random.integers(1, 11)),
            "category_id": int(random.choice([1, 7])),
            "bbox": box(),
        }

    annotations: list[Json] = []
    for number in range(40):
        area, crowd = float(random.integers(10, 12_000)), int(random.random() < 0.1)
        annotations.append({"id": number + 1, **placed(), "area": area, "iscrowd": crowd})
    results: list[Json] = []
    for _ in range(150):
        near: Json = (
            placed() if random.random() < 0.5 else annotations[random.integers(len(annotations))]
        )
        kept = {name: near[name] for name in ("image_id", "category_id", "bbox")}
        results.append(kept | {"score": float(random.integers(1, 10)) / 10})
    return coco(images=images, annotations=annotations), results


@pytest.mark.parametrize("seed", range(5))
def test_what_was_read_evaluates_as_the_files_do(folder: Path, seed: int) -> None:
    truth, results = random_dataset(seed)
    write_images(folder / "images", *(item["file_name"] for item in truth["images"]))
    ids = {item["name"]: item["id"] for item in truth["categories"]}
    items = read(folder, truth, results)
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for number, frame in enumerate(frames(items), start=1):
        for annotation in frame.annotations or ():
            value = annotation.value
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[value.category],
                    "bbox": list(value.bbox),
                    "area": value.area,
                    "iscrowd": int(value.crowd),
                }
            )
        for found in frame.detections or ():
            where = {"image_id": number, "category_id": ids[found.value.category]}
            what = {"bbox": list(found.value.bbox), "score": found.value.score}
            detections.append(where | what)

    assert Counter(reasons(items)) == {}
    assert evaluated(truth | {"annotations": annotations}, detections) == evaluated(truth, results)
