"""No object of a data set is lost, doubled or displaced without a rejection that names it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.formats.adjustments import Adjustment
from services.formats.items import Dataset, FrameItem, Rejection
from services.formats.masks import from_polygons
from services.formats.readers.coco import read_coco
from services.formats.readers.cvat_video import read_cvat_video
from services.formats.readers.detections.registry import read_output
from services.formats.readers.labelme import read_labelme
from services.formats.readers.openimages import read_openimages
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest, NamedFrame
from services.formats.readers.scalabel import read_scalabel
from services.formats.readers.via import read_via
from services.formats.readers.via3 import read_via3
from services.formats.readers.voc import read_voc
from services.formats.readers.yolo import read_yolo
from tests.unit.ingest.datasets import Json, write_json

SIZE = (800, 1000)
SENT = Manifest({name: NamedFrame(FrameId(name), SIZE) for name in ("a", "b")})
TIGER = "0 .5 .5 .25 .4" + " .3 .4" * 12
"""A line of a data set with `kpt_shape: [12, 2]`, as Ultralytics' tiger-pose."""


def opened(dataset: Dataset) -> tuple[dict[str, FrameItem], list[str]]:
    """The frames by their id, and the reasons of all rejections."""
    items = list(dataset.items)
    found: dict[str, FrameItem] = {
        item.frame_id: item for item in items if isinstance(item, FrameItem)
    }
    return found, [item.reason for item in items if isinstance(item, Rejection)]


def frames(dataset: Dataset) -> dict[str, FrameItem]:
    """The frames of a data set in which nothing is refused."""
    found, reasons = opened(dataset)
    assert not reasons
    return found


def boxes(frame: FrameItem) -> list[tuple[float, ...]]:
    return [part.value.bbox for part in frame.annotations or ()]


def yolo(folder: Path, line: str, data: str) -> Dataset:
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "a.txt").write_text(line + "\n")
    (folder / "data.yaml").write_text(f"names: [tiger]\n{data}\n")
    return read_yolo(folder, SENT)


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        (TIGER, "[12, 2]"),
        ("0 .5 .5 .25 .4" + " .3 .4 2" * 17, "[17, 3]"),
        ("0 .5 .5 .25 .4" + " .3 .4 2" * 4, "\n- 4\n- 3"),
    ],
)
def test_a_pose_of_yolo_is_its_box(tmp_path: Path, line: str, shape: str) -> None:
    frame = frames(yolo(tmp_path, line, f"kpt_shape: {shape}"))["a"]

    assert boxes(frame) == [pytest.approx((300, 300, 200, 400))]
    assert frame.complete
    assert [part.value.mask for part in frame.annotations or ()] == [None]
    assert frame.adjustments == {Adjustment.KEYPOINTS_LEFT_OUT: 1}


def test_a_box_without_keypoints_is_read_where_others_have_them(tmp_path: Path) -> None:
    frame = frames(yolo(tmp_path, "0 .5 .5 .25 .4", "kpt_shape: [12, 2]"))["a"]

    assert boxes(frame) == [pytest.approx((300, 300, 200, 400))]
    assert not frame.adjustments


def test_a_line_with_other_keypoints_than_declared_is_refused(tmp_path: Path) -> None:
    found, reasons = opened(yolo(tmp_path, TIGER, "kpt_shape: [10, 2]"))

    assert reasons == ["unsupported_shape"]
    assert not found["a"].complete


@pytest.mark.parametrize("shape", ["12", "[12]", "[12, 4]", "[many, 2]", "{a: 2}"])
def test_keypoints_of_no_known_shape_stop_the_reader(tmp_path: Path, shape: str) -> None:
    with pytest.raises(InvalidRecord, match="kpt_shape"):
        yolo(tmp_path, TIGER, f"kpt_shape: {shape}")


def results(folder: Path, line: str, data: str = "kpt_shape: [12, 2]") -> list[object]:
    """The box, score and track of each record, or why it is refused."""
    (folder / "dt").mkdir()
    (folder / "dt" / "a.txt").write_text(line + "\n")
    (folder / "data.yaml").write_text(f"names: [tiger]\n{data}\n")
    output = read_output(folder / "dt")
    return [
        str(output.errors.get(source.location))
        if source.location in output.errors
        else [source.value.get(key) for key in ("bbox", "score", "track_id")]
        for source in output.sources
        if isinstance(source.value, dict)
    ]


@pytest.mark.parametrize("track", [None, "7"])
@pytest.mark.parametrize(
    ("keypoints", "shape"),
    [(" .3 .4" * 12, "[12, 2]"), (" .3 .4 .9" * 17, "[17, 3]"), ("", "[3, 3]")],
)
def test_a_detected_pose_of_yolo_is_its_box(
    tmp_path: Path, keypoints: str, shape: str, track: str | None
) -> None:
    line = f"0 .5 .5 .25 .4{keypoints} .75 {track or ''}"

    found = results(tmp_path, line, f"kpt_shape: {shape}")

    assert found == [[pytest.approx((0.375, 0.3, 0.25, 0.4)), 0.75, track]]


@pytest.mark.parametrize("line", [TIGER, TIGER + " .1 .1 .8", "0 .1 .1 .9 .1 .5 .9 .75"])
def test_a_detected_pose_without_confidence_is_refused(tmp_path: Path, line: str) -> None:
    (found,) = results(tmp_path, line)

    assert "24 of keypoints" in str(found)


def scalabel(folder: Path, label: Json, **frame: object) -> Dataset:
    content = [{"name": "a.jpg", "labels": [{"id": "1", "category": "car", **label}], **frame}]
    return read_scalabel(write_json(folder / "labels.json", content), SENT)


def outline(*points: tuple[float, float], types: str = "", closed: bool = True) -> Json:
    return {"vertices": [*map(list, points)], "types": types or "L" * len(points), "closed": closed}


CAR = outline((100, 200), (300, 200), (300, 400))


def test_an_object_of_scalabel_without_a_box_is_its_closed_outline(tmp_path: Path) -> None:
    frame = frames(scalabel(tmp_path, {"poly2d": [CAR], "box2d": None}))["a"]

    assert boxes(frame) == [(100, 200, 200, 200)]
    drawn = from_polygons([[100, 200, 300, 200, 300, 400]], SIZE).mask
    assert [part.value.mask for part in frame.annotations or ()] == [drawn]
    assert frame.complete
    assert frame.adjustments == {Adjustment.BOX_FROM_POLYGON: 1}


def test_the_outlines_of_a_label_of_scalabel_are_one_object(tmp_path: Path) -> None:
    other = outline((500, 200), (600, 200), (600, 500))

    frame = frames(
        scalabel(tmp_path, {"poly2d": [CAR, other]}, size={"width": 800, "height": 1000})
    )

    assert boxes(frame["a"]) == [(100, 200, 500, 300)]
    parts = [[100, 200, 300, 200, 300, 400], [500, 200, 600, 200, 600, 500]]
    drawn = from_polygons(parts, SIZE).mask
    assert [part.value.mask for part in frame["a"].annotations or ()] == [drawn]


@pytest.mark.parametrize("types", ["LLCCL", "LLCCC"])
def test_control_points_of_curves_are_no_corners(tmp_path: Path, types: str) -> None:
    curved = outline((100, 500), (100, 300), (100, 100), (300, 100), (300, 300), types=types)

    (box,) = boxes(frames(scalabel(tmp_path, {"poly2d": [curved]}))["a"])

    # The curve's top is at 3/4 of the way to its control points.
    assert box == pytest.approx((100, 150, 200, 350))


def test_a_curve_may_end_where_its_outline_begins(tmp_path: Path) -> None:
    curved = outline((100, 300), (300, 300), (300, 100), (100, 100), types="LLCC")

    (box,) = boxes(frames(scalabel(tmp_path, {"poly2d": [curved]}))["a"])

    assert box == pytest.approx((100, 150, 200, 150))


def test_a_mask_of_scalabel_is_an_object(tmp_path: Path) -> None:
    mask = from_polygons([[100, 200, 300, 200, 300, 400]], SIZE)
    rle = {"counts": mask.mask.counts, "size": [1000, 800]}

    frame = frames(scalabel(tmp_path, {"rle": rle}))["a"]

    assert boxes(frame) == [mask.bbox]
    assert [part.value.mask for part in frame.annotations or ()] == [mask.mask]


@pytest.mark.parametrize(
    "label",
    [
        {"category": "lane", "poly2d": [outline((1, 2), (300, 400), closed=False)]},
        {"category": "single white", "poly2d": [outline((1, 2), (300, 400), closed=False)]},
        {"category": "lane/road curb", "poly2d": [CAR]},
        {"category": "drivable area", "poly2d": [CAR]},
        {"category": "area/alternative", "poly2d": [CAR]},
        {"category": "direct", "poly2d": [CAR]},
        {"category": "lane", "poly2d": []},
    ],
)
def test_lanes_and_drivable_areas_are_left_out_and_counted(tmp_path: Path, label: Json) -> None:
    frame = frames(scalabel(tmp_path, label))["a"]

    assert frame.annotations == ()
    assert frame.complete
    assert frame.adjustments == {Adjustment.NO_SHAPE: 1}


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ({"box3d": {"location": [1, 2, 3]}}, "unsupported_shape"),
        ({"graph": {"nodes": [], "edges": []}}, "unsupported_shape"),
        ({"poly2d": []}, "unsupported_shape"),
        ({"poly2d": [outline((1, 2), (3, 4))]}, "unsupported_shape"),
        ({"poly2d": [{"vertices": [[1, 2], ["a", 4]], "closed": True}]}, "invalid_box"),
        ({"poly2d": 5}, "malformed_record"),
        ({"rle": {"counts": "", "size": [1000, 800]}}, "invalid_mask"),
    ],
)
def test_an_object_without_a_shape_leaves_its_frame_incomplete(
    tmp_path: Path, label: Json, reason: str
) -> None:
    found, reasons = opened(scalabel(tmp_path, label))

    assert reasons == [reason]
    assert not found["a"].complete


def via3(folder: Path, *regions: Json, views: tuple[str, ...] = ("1", "2")) -> Dataset:
    names = ("a.jpg", "b.jpg")
    content = {
        "project": {},
        "attribute": {"1": {"aname": "kind", "anchor_id": "FILE1_Z0_XY1", "options": {"0": "car"}}},
        "file": {str(at): {"fname": name, "type": 2} for at, name in enumerate(names)},
        "view": {view: {"fid_list": [str(at)]} for at, view in enumerate(views)},
        "metadata": {
            f"r{at}": {"xy": [2, 10, 20, 30, 40], "av": {"1": "0"}, "z": [], **region}
            for at, region in enumerate(regions)
        },
    }
    return read_via3(write_json(folder / "via.json", content), SENT)


@pytest.mark.parametrize("views", [("1", "2"), ("view 1", "view 2"), ("x 1", "y 1")])
def test_a_view_of_via_3_has_its_regions_whatever_its_key(
    tmp_path: Path, views: tuple[str, str]
) -> None:
    found = frames(via3(tmp_path, {"vid": views[0]}, views=views))

    assert boxes(found["a"]) == [(10, 20, 30, 40)]
    assert boxes(found["b"]) == []
    assert found["a"].complete
    assert found["b"].complete


def test_a_region_of_an_unknown_view_is_refused_by_name(tmp_path: Path) -> None:
    found, reasons = opened(via3(tmp_path, {"vid": "1"}, {"vid": "9"}))

    assert reasons == ["unknown_image"]
    assert boxes(found["a"]) == [(10, 20, 30, 40)]


@pytest.mark.parametrize("vid", [None, "", [], 1.5])
def test_a_region_that_may_be_of_any_view_leaves_all_incomplete(
    tmp_path: Path, vid: object
) -> None:
    found, reasons = opened(via3(tmp_path, {"vid": "1"}, {"vid": vid}))

    assert reasons == ["malformed_record"]
    assert not found["a"].complete
    assert not found["b"].complete


def test_a_project_whose_regions_are_of_no_view_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecord, match="none of 2 regions is of a view") as refused:
        via3(tmp_path, {"vid": "8"}, {"vid": "9"})
    assert refused.value.reason == "unknown_image"


def test_metadata_of_a_whole_image_is_no_object(tmp_path: Path) -> None:
    found = frames(via3(tmp_path, {"vid": 1, "xy": []}))["a"]

    assert found.annotations == ()
    assert found.complete
    assert found.adjustments == {Adjustment.NO_SHAPE: 1}


@pytest.mark.parametrize("xy", [None, 0, {}])
def test_a_region_of_via_3_without_coordinates_is_refused(tmp_path: Path, xy: object) -> None:
    found, reasons = opened(via3(tmp_path, {"vid": "1", "xy": xy}))

    assert reasons == ["unsupported_shape"]
    assert not found["a"].complete


@pytest.mark.parametrize("frame", [{"name": "b.jpg"}, {"name": "b.jpg", "labels": None}])
def test_a_frame_of_scalabel_that_has_no_list_of_labels_is_not_annotated(
    tmp_path: Path, frame: Json
) -> None:
    content = [{"name": "a.jpg", "labels": []}, frame]

    found = frames(read_scalabel(write_json(tmp_path / "labels.json", content), SENT))

    assert {name: frame.complete for name, frame in found.items()} == {"a": True}


LEFT: Json = {"label": "car", "points": [[10, 10], [50, 10], [50, 90]]}
RIGHT: Json = {"label": "car", "points": [[70, 10], [99, 10], [99, 99]]}
RECTANGLE: Json = {"label": "car", "points": [[99, 99], [70, 10]], "shape_type": "rectangle"}


def labelme(folder: Path, *shapes: Json) -> Dataset:
    content = {"shapes": shapes, "imagePath": "a.jpg", "imageWidth": 800, "imageHeight": 1000}
    return read_labelme(write_json(folder / "a.json", content), SENT)


def test_shapes_of_labelme_with_one_label_and_group_are_one_object(tmp_path: Path) -> None:
    shapes: list[Json] = [
        {**LEFT, "group_id": 0},
        {**RIGHT, "group_id": None},
        {**RIGHT, "group_id": 0},
    ]

    frame = frames(labelme(tmp_path, *shapes))["a"]

    assert boxes(frame) == [(10, 10, 89, 89), (70, 10, 29, 89)]
    both = [[10, 10, 50, 10, 50, 90], [70, 10, 99, 10, 99, 99]]
    drawn = [from_polygons(parts, SIZE).mask for parts in (both, both[1:])]
    assert [part.value.mask for part in frame.annotations or ()] == drawn


def test_a_group_of_labelme_with_a_rectangle_is_one_object_without_a_mask(tmp_path: Path) -> None:
    frame = frames(labelme(tmp_path, {**LEFT, "group_id": 3}, {**RECTANGLE, "group_id": 3}))["a"]

    assert boxes(frame) == [(10, 10, 89, 89)]
    assert [part.value.mask for part in frame.annotations or ()] == [None]


def test_shapes_of_labelme_with_another_label_or_group_are_two_objects(tmp_path: Path) -> None:
    shapes: list[Json] = [
        {**LEFT, "group_id": 1},
        {**RIGHT, "group_id": 1, "label": "bus"},
        {**RIGHT, "group_id": 2},
        {**RIGHT, "group_id": "1"},
    ]

    assert len(boxes(frames(labelme(tmp_path, *shapes))["a"])) == 4


def test_a_point_in_a_group_of_labelme_is_refused_alone(tmp_path: Path) -> None:
    point = {"label": "car", "points": [[5, 5]], "shape_type": "point", "group_id": 1}

    found, reasons = opened(labelme(tmp_path, {**LEFT, "group_id": 1}, point))

    assert reasons == ["unsupported_shape"]
    assert boxes(found["a"]) == [(10, 10, 40, 80)]
    assert not found["a"].complete


def cvat_video(folder: Path, meta: str, number: int) -> Dataset:
    """A video of 30 frames, of which one has a triangle."""
    shape = f'<polygon frame="{number}" outside="0" points="10,20;30,20;30,60"></polygon>'
    text = (
        f'<annotations><meta>{meta}</meta><track id="0" label="car">{shape}</track></annotations>'
    )
    (folder / "annotations.xml").write_text(text)
    names = [f"frame_{frame:06}" for frame in range(30)]
    sent = Manifest({name: NamedFrame(FrameId(name), SIZE) for name in names})
    return read_cvat_video(folder / "annotations.xml", sent)


SIDES = "<original_size><width>800</width><height>1000</height></original_size>"

FIFTH = "<frame_filter>step=5</frame_filter>"


@pytest.mark.parametrize(
    ("meta", "numbers"),
    [
        (f"<task><size>3</size>{SIDES}</task>", [0, 1, 2]),
        (f"<job><size>3</size><start_frame>20</start_frame></job>{SIDES}", [20, 21, 22]),
        (
            f"<task><size>3</size><start_frame>2</start_frame>{FIFTH}{SIDES}</task>",
            [2, 7, 12],
        ),
        (
            f"<job><size>3</size><start_frame>12</start_frame>{FIFTH}</job>{SIDES}",
            [12, 17, 22],
        ),
    ],
)
def test_only_the_frames_of_a_task_or_job_of_cvat_are_annotated(
    tmp_path: Path, meta: str, numbers: list[int]
) -> None:
    found = frames(cvat_video(tmp_path, meta, numbers[1]))

    assert list(found) == [f"frame_{number:06}" for number in numbers]
    assert [boxes(frame) for frame in found.values()] == [[], [(10, 20, 20, 40)], []]
    drawn = from_polygons([[10, 20, 30, 20, 30, 60]], SIZE).mask
    masks = [part.value.mask for frame in found.values() for part in frame.annotations or ()]
    assert masks == [drawn]


def test_pictures_of_several_sizes_have_none_in_common(tmp_path: Path) -> None:
    other = SIDES.replace("800", "640")
    meta = f"<project><tasks><task>{SIDES}</task><task>{other}</task></tasks></project>"

    found = frames(cvat_video(tmp_path, meta, 4))

    assert [frame.size for frame in found.values()] == [None]


def test_a_row_of_open_images_that_names_no_image_leaves_all_incomplete(tmp_path: Path) -> None:
    file = tmp_path / "annotations-bbox.csv"
    rows = [f"{image},car,0,.1,.2,.1,.2" for image in ("a", "", "b")]
    file.write_text("\n".join(["ImageID,LabelName,IsGroupOf,XMin,XMax,YMin,YMax", *rows]))

    dataset = read_openimages(file, SENT)
    items = list(dataset.items)

    assert [(item.reason, item.location) for item in items if isinstance(item, Rejection)] == [
        ("malformed_record", f"{file}:3")
    ]
    assert [item.complete for item in items if isinstance(item, FrameItem)] == [False, False]
    assert dataset.frames == 2


def test_an_image_that_comes_back_without_annotations_has_not_come_back(tmp_path: Path) -> None:
    content = {"1": {"filename": "a.jpg", "regions": []}, "2": {"filename": "b.jpg"}}
    dataset = restored(
        read_via(write_json(tmp_path / "via.json", content), images=None, sent=SENT), SENT, ()
    )

    found = frames(dataset)

    assert [frame.annotations for frame in found.values()] == [(), None]
    assert dataset.left == {"b"}


def coco_box(folder: Path, side: float) -> Dataset:
    box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, side, side]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "car"}],
    }
    return read_coco(write_json(folder / "coco.json", content), images=None)


def voc_box(folder: Path, side: float) -> Dataset:
    sides = f"<xmin>0</xmin><ymin>0</ymin><xmax>{side}</xmax><ymax>{side}</ymax>"
    text = f"<object><name>car</name><bndbox>{sides}</bndbox></object>"
    (folder / "a.xml").write_text(f"<annotation>{text}</annotation>")
    return read_voc(folder, images=None)


def via_box(folder: Path, side: float) -> Dataset:
    rectangle = {"name": "rect", "x": 0, "y": 0, "width": side, "height": side}
    region = {"shape_attributes": rectangle, "region_attributes": {"name": "car"}}
    content = {"a": {"filename": "a.jpg", "regions": [region]}}
    return read_via(write_json(folder / "via.json", content), images=None)


def yolo_box(folder: Path, side: float) -> Dataset:
    return yolo(folder, f"0 0 0 {side / SIZE[0]} {side / SIZE[1]}", "")


@pytest.mark.parametrize("read", [coco_box, voc_box, via_box, yolo_box])
@pytest.mark.parametrize(("side", "reason"), [(0, "box_without_area"), (1, "box_in_fractions")])
def test_a_frame_whose_boxes_all_lost_their_area_or_unit_is_not_empty(
    tmp_path: Path, read: Callable[[Path, float], Dataset], side: float, reason: str
) -> None:
    found, reasons = opened(read(tmp_path, side))

    assert reasons == [reason]
    assert [frame.complete for frame in found.values()] == [False]
