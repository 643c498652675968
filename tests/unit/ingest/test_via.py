import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pycocotools import mask as coco_mask

from services.contracts.errors import InvalidRecord
from services.contracts.events import Position, Rle
from services.formats.items import Detector, Item
from services.formats.readers.via import read_via
from tests.unit.ingest.datasets import Json, frames, rejections, write_images, write_json

RECT = {"name": "rect", "x": 1, "y": 2, "width": 30, "height": 20.5}
POLYGON = {"name": "polygon", "all_points_x": [10, 30, 30, 12], "all_points_y": [5, 6, 25, 20.5]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", "b.jpg", "a.jpg")
    return tmp_path


def region(shape: object = RECT, attributes: object = None) -> Json:
    attributes = {"category": "stop sign"} if attributes is None else attributes
    return {"shape_attributes": shape, "region_attributes": attributes}


def export(*regions: object, attributes: Json | None = None) -> Json:
    return {
        "b.jpg123": {
            "filename": "b.jpg",
            "size": 123,
            "regions": list(regions),
            "file_attributes": attributes or {},
        },
        "a.jpg9": {"filename": "a.jpg", "size": 9, "regions": [], "file_attributes": {}},
    }


def read(folder: Path, content: object, results: list[Json] | None = None) -> list[Item]:
    predictions = write_json(folder / "dt.json", results) if results is not None else None
    dataset = read_via(
        write_json(folder / "survey.json", content),
        images=folder / "images",
        predictions=predictions,
        detector=Detector("ods", "1"),
    )
    return list(dataset.items)


def test_an_export_and_a_project_say_the_same(folder: Path) -> None:
    content = export(region())
    project = {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}

    assert read(folder, content) == [*read(folder, project)]
    first, second = frames(read(folder, project))
    assert [first.frame_id, second.frame_id] == ["survey:a.jpg", "survey:b.jpg"]
    assert first.annotations == ()
    (sign,) = (annotation.value for annotation in second.annotations or ())
    assert (sign.category, [*sign.bbox]) == ("stop sign", [1, 2, 30, 20.5])


def test_a_polygon_is_a_box_an_area_and_a_mask(folder: Path) -> None:
    (annotation,) = frames(read(folder, export(region(POLYGON))))[1].annotations or ()

    flat = [10, 5, 30, 6, 30, 25, 12, 20.5]
    drawn = coco_mask.merge(coco_mask.frPyObjects([flat], 48, 64))
    assert [*annotation.value.bbox] == [10, 5, 20, 20]
    assert annotation.value.mask == Rle(size=(48, 64), counts=drawn["counts"].decode())
    assert annotation.value.area == float(coco_mask.area(drawn))


def test_without_images_a_polygon_keeps_its_box_and_area(folder: Path) -> None:
    file = write_json(folder / "survey.json", export(region(POLYGON)))

    items = list(read_via(file, images=None).items)

    (annotation,) = frames(items)[1].annotations or ()
    assert frames(items)[1].image is None
    assert annotation.value.mask is None
    assert annotation.value.area == pytest.approx(330.5, abs=20)


@pytest.mark.parametrize("name", ["circle", "ellipse", "point", "polyline", None])
def test_other_shapes_are_named_and_counted(folder: Path, name: str | None) -> None:
    items = read(folder, export(region({"name": name, "cx": 1, "cy": 1, "r": 2}), region()))

    (rejection,) = rejections(items)
    assert rejection.reason == "unsupported_shape"
    assert rejection.location == f"{folder}/survey.json:'b.jpg123':regions[0]"
    assert len(frames(items)[1].annotations or ()) == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"sign": "crossing"},
        {"category": "crossing", "note": "far"},
        {"note": "far", "class": " crossing "},
        {"type": {"crossing": True, "stop sign": False}, "note": ""},
    ],
)
def test_the_category_is_found_among_the_attributes(folder: Path, attributes: Json) -> None:
    items = read(folder, export(region(attributes=attributes)))

    assert [annotation.value.category for annotation in frames(items)[1].annotations or ()] == [
        "crossing"
    ]


@pytest.mark.parametrize(
    ("reason", "bad"),
    [
        ("unknown_category", region(attributes={})),
        ("unknown_category", region(attributes={"a": "x", "b": "y"})),
        ("unknown_category", region(attributes={"category": ""})),
        ("unknown_category", region(attributes={"category": {"a": True, "b": True}})),
        ("malformed_record", region(attributes="stop sign")),
        ("malformed_record", region(shape=None)),
        ("malformed_record", region(shape={"name": "rect", "x": 1})),
        ("box_without_area", region(shape=RECT | {"width": 0})),
        ("box_not_finite", region(shape=RECT | {"width": float("nan")})),
        ("malformed_record", region(shape=POLYGON | {"all_points_x": [1, 2]})),
        ("malformed_record", region(shape=POLYGON | {"all_points_y": [1, 2, 3, "4"]})),
        ("box_not_finite", region(shape=POLYGON | {"all_points_x": [1, float("nan"), 3, 4]})),
        ("box_out_of_range", region(shape=POLYGON | {"all_points_x": [1, 1e12, 3, 4]})),
        ("box_without_area", region(shape=POLYGON | {"all_points_x": [1, 1, 1, 1]})),
        ("malformed_record", None),
    ],
)
def test_a_bad_region_is_named_and_the_rest_goes_through(
    folder: Path, reason: str, bad: object
) -> None:
    items = read(folder, export(bad, region()))

    assert [rejection.reason for rejection in rejections(items)] == [reason]
    assert len(frames(items)[1].annotations or ()) == 1


def test_file_attributes_say_where_and_when(folder: Path) -> None:
    attributes = {
        "drive_id": "d 1",
        "vehicle_id": "v1",
        "captured_at": "2026-05-04T10:00:00Z",
        "lat": "52.5",
        "lon": "13.4",
        "heading": "",
    }

    frame = frames(read(folder, export(attributes=attributes)))[1]

    assert (frame.drive_id, frame.vehicle_id) == ("d%201", "v1")
    assert frame.captured_at == datetime(2026, 5, 4, 10, tzinfo=UTC)
    assert frame.position == Position(lat=52.5, lon=13.4)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("missing_image", {"filename": "gone.jpg"}),
        ("path_outside_folder", {"filename": "../survey.json"}),
        ("path_outside_folder", {"filename": "/etc/passwd"}),
        ("missing_image", {"filename": "https://example.org/a.jpg"}),
        ("malformed_record", {"regions": "none"}),
        ("malformed_record", {"regions": ""}),
        ("malformed_record", {"regions": 0}),
        ("malformed_record", {"file_attributes": ["a"]}),
        ("invalid_position", {"file_attributes": {"lat": "north"}}),
        ("invalid_time", {"file_attributes": {"captured_at": "noon"}}),
    ],
)
def test_a_bad_frame_is_one_dead_letter(folder: Path, reason: str, change: Json) -> None:
    content = export(region())
    content["b.jpg123"] |= change

    items = read(folder, content)

    (rejection,) = rejections(items)
    assert (rejection.reason, rejection.whole_frame) == (reason, True)
    assert json.loads(rejection.raw)["image"]["size"] == 123
    assert len(frames(items)) == 1


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("duplicate_id", {"filename": "a.jpg"}),
        ("malformed_record", {"filename": None}),
        ("malformed_record", {"filename": "x" * 300}),
        ("malformed_record", ["a.jpg"]),
    ],
)
def test_a_record_that_is_no_image_is_named(folder: Path, reason: str, record: object) -> None:
    items = read(folder, export() | {"more": record})

    assert [rejection.reason for rejection in rejections(items)] == [reason]
    assert len(frames(items)) == 2


def test_another_spelling_of_a_file_name_is_the_same_image(folder: Path) -> None:
    content = export(region())
    content["again"] = content["b.jpg123"] | {"filename": "./b.jpg", "regions": [region(POLYGON)]}

    items = read(folder, content)

    assert [item.reason for item in rejections(items)] == ["duplicate_id"]
    assert [frame.complete for frame in frames(items)] == [True, False]


def test_regions_of_via_1_are_read(folder: Path) -> None:
    content = export()
    content["b.jpg123"]["regions"] = {"0": region(), "1": region(POLYGON)}

    assert len(frames(read(folder, content))[1].annotations or ()) == 2


@pytest.mark.parametrize("regions", [{}, {"regions": None}])
def test_an_image_that_has_no_list_of_regions_is_not_annotated(folder: Path, regions: Json) -> None:
    content = export()
    del content["b.jpg123"]["regions"]
    content["b.jpg123"] |= regions

    items = read(folder, content)

    assert [frame.annotations for frame in frames(items)] == [(), None]


def test_results_name_images_by_file(folder: Path) -> None:
    result = {"file_name": "b.jpg", "category": "crossing", "bbox": [1, 2, 3, 4], "score": 0.5}

    items = read(folder, export(), [result])

    assert [len(frame.detections or ()) for frame in frames(items)] == [0, 1]


@pytest.mark.parametrize("content", [[], "text", {"_via_img_metadata": []}])
def test_a_file_that_is_not_vias_is_refused(folder: Path, content: object) -> None:
    with pytest.raises(InvalidRecord, match="VIA"):
        read(folder, content)
