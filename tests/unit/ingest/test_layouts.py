"""One small survey in the formats of annotated data sets: each gives pycocotools' same numbers."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest

from services.cli.datasets import DetectionOptions, LayoutOptions, TakenOptions
from services.cli.work.opening_layouts import layout_opener
from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated, FrameCaptured
from services.formats.adjustments import Adjustment
from services.formats.archive import as_folder
from services.formats.layout_names import LayoutName
from services.formats.masks import from_polygons
from services.formats.readers.layouts import found_layout
from tests.unit.ingest.datasets import Json, write_json
from tests.unit.ingest.test_field_cases import (
    AP,
    Read,
    named_results,
    truth,
    write_pictures,
)

WIDTH, HEIGHT = 320, 240
FormName = Literal["NFC", "NFD"]
Objects = list[tuple[str, tuple[float, float, float, float]]]
"""Category, and left, top, right, bottom."""


def objects() -> dict[str, Objects]:
    """By the image's stem."""
    content = truth()
    names = {item["id"]: item["name"] for item in content["categories"]}
    found: dict[str, Objects] = {f"f{number:03}": [] for number in range(1, 13)}
    for item in content["annotations"]:
        x, y, width, height = item["bbox"]
        found[f"f{item['image_id']:03}"].append(
            (names[item["category_id"]], (x, y, x + width, y + height))
        )
    return found


LINE = '{"vertices": [[1, 1], [9, 9]], "types": "LL", "closed": false}'
CATEGORIES = sorted({category for boxes in objects().values() for category, _ in boxes})


def coco(folder: Path) -> None:
    write_json(folder / "instances.json", truth())


def voc(folder: Path) -> None:
    (folder / "Annotations").mkdir()
    for stem, boxes in objects().items():
        shapes = "".join(
            f"<object><name>{category}</name><bndbox>"
            f"<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax>"
            "</bndbox></object>"
            for category, box in boxes
        )
        text = f"<annotation><filename>{stem}.jpg</filename>{shapes}</annotation>"
        (folder / "Annotations" / f"{stem}.xml").write_text(text)


def via_region(box: tuple[float, ...]) -> Json:
    left, top, right, bottom = box
    sides = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return {"name": "rect", **sides}


def via1(folder: Path) -> None:
    records = {
        f"{stem}.jpg1": {
            "filename": f"{stem}.jpg",
            "size": 1,
            "file_attributes": {},
            "regions": {
                str(at): {
                    "shape_attributes": via_region(box),
                    "region_attributes": {"name": category},
                }
                for at, (category, box) in enumerate(boxes)
            },
        }
        for stem, boxes in objects().items()
    }
    write_json(folder / "via.json", records)


def via3(folder: Path) -> None:
    """As in the project of VIA 3.0.13."""
    files, views, regions = {}, {}, {}
    for number, (stem, boxes) in enumerate(objects().items(), start=1):
        key = str(number)
        files[key] = {"fid": key, "fname": f"{stem}.jpg", "type": 2, "loc": 1, "src": ""}
        views[key] = {"fid_list": [key]}
        for at, (category, (left, top, right, bottom)) in enumerate(boxes):
            regions[f"{key}_{at}"] = {
                "vid": key,
                "flg": 0,
                "z": [],
                "xy": [2, left, top, right - left, bottom - top],
                "av": {"1": str(CATEGORIES.index(category))},
            }
    options = {str(at): category for at, category in enumerate(CATEGORIES)}
    attribute = {
        "aname": "category",
        "anchor_id": "FILE1_Z0_XY1",
        "type": 4,
        "options": options,
        "default_option_id": "",
    }
    content = {
        "project": {"pid": "1", "data_format_version": "3.1.1"},
        "config": {},
        "attribute": {"1": attribute},
        "file": files,
        "metadata": regions,
        "view": views,
    }
    write_json(folder / "via3.json", content)


def yolo_lines(boxes: Objects) -> str:
    lines = []
    for category, (left, top, right, bottom) in boxes:
        numbers = (
            (left + right) / 2 / WIDTH,
            (top + bottom) / 2 / HEIGHT,
            (right - left) / WIDTH,
            (bottom - top) / HEIGHT,
        )
        lines.append(f"{CATEGORIES.index(category)} {' '.join(map(repr, numbers))}\n")
    return "".join(lines)


def ultralytics(folder: Path) -> None:
    """`images/train` and `labels/train`, as in COCO8."""
    pictures = folder / "images" / "train"
    pictures.parent.mkdir()
    (folder / "img").rename(pictures)
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "data.yaml").write_text(json.dumps({"train": "images/train", "names": CATEGORIES}))
    for stem, boxes in objects().items():
        (folder / "labels" / "train" / f"{stem}.txt").write_text(yolo_lines(boxes))


def roboflow(folder: Path) -> None:
    """`train/images` and `valid/images`, with segments in place of boxes."""
    (folder / "data.yaml").write_text(json.dumps({"names": CATEGORIES, "nc": 2}))
    for at, (stem, boxes) in enumerate(objects().items()):
        part = folder / ("train" if at % 2 else "valid")
        for name in ("images", "labels"):
            (part / name).mkdir(parents=True, exist_ok=True)
        (folder / "img" / f"{stem}.jpg").rename(part / "images" / f"{stem}.jpg")
        lines = []
        for category, (left, top, right, bottom) in boxes:
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            numbers = [value for x, y in corners for value in (x / WIDTH, y / HEIGHT)]
            lines.append(f"{CATEGORIES.index(category)} {' '.join(map(repr, numbers))}\n")
        (part / "labels" / f"{stem}.txt").write_text("".join(lines))


def darknet(folder: Path) -> None:
    """Text files beside the images, as CVAT exports YOLO 1.1."""
    data = folder / "obj_train_data"
    (folder / "img").rename(data)
    (folder / "obj.names").write_text("\n".join(CATEGORIES) + "\n")
    (folder / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n"
    )
    (folder / "train.txt").write_text("".join(f"data/obj_train_data/{s}.jpg\n" for s in objects()))
    for stem, boxes in objects().items():
        (data / f"{stem}.txt").write_text(yolo_lines(boxes))


def cvat(folder: Path) -> None:
    images = "".join(
        f'<image id="{at}" name="{stem}.jpg" width="{WIDTH}" height="{HEIGHT}">'
        + "".join(
            f'<box label="{category}" xtl="{box[0]}" ytl="{box[1]}" xbr="{box[2]}" ybr="{box[3]}"'
            ' occluded="0" z_order="0"></box>'
            for category, box in boxes
        )
        + "</image>"
        for at, (stem, boxes) in enumerate(objects().items())
    )
    text = f"<annotations><version>1.1</version>{images}</annotations>"
    (folder / "annotations.xml").write_text(text)


def cvat_video(folder: Path) -> None:
    tracks = ""
    for number, (stem, boxes) in enumerate(objects().items()):
        (folder / "img" / f"{stem}.jpg").rename(folder / "img" / f"frame_{number:06}.jpg")
        for category, box in boxes:
            corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
            sides = " ".join(f'{name}="{value}"' for name, value in corners.items())
            tracks += (
                f'<track id="0" label="{category}"><box frame="{number}" keyframe="1" outside="0"'
                f' occluded="0" {sides}></box><box frame="{number + 1}" keyframe="1" outside="1"'
                f' occluded="0" {sides}></box></track>'
            )
    size = f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
    meta = f"<meta><task><size>12</size>{size}</task></meta>"
    text = f"<annotations><version>1.1</version>{meta}{tracks}</annotations>"
    (folder / "annotations.xml").write_text(text)


def label_studio(folder: Path) -> None:
    tasks = [
        {
            "id": at,
            "data": {"image": f"/data/upload/1/0123abcd-{stem}.jpg"},
            "annotations": [
                {
                    "id": at,
                    "completed_by": 1,
                    "result": [
                        {
                            "type": "rectanglelabels",
                            "original_width": WIDTH,
                            "original_height": HEIGHT,
                            "value": {
                                "x": left * 100 / WIDTH,
                                "y": top * 100 / HEIGHT,
                                "width": (right - left) * 100 / WIDTH,
                                "height": (bottom - top) * 100 / HEIGHT,
                                "rectanglelabels": [category],
                            },
                        }
                        for category, (left, top, right, bottom) in boxes
                    ],
                }
            ],
        }
        for at, (stem, boxes) in enumerate(objects().items())
    ]
    write_json(folder / "project-1.json", tasks)


def labelme(folder: Path) -> None:
    for stem, boxes in objects().items():
        shapes: list[Json] = [
            {
                "label": category,
                "points": [[box[0], box[1]], [box[2], box[3]]],
                "shape_type": "rectangle",
                "group_id": None,
                "flags": {},
            }
            for category, box in boxes
        ]
        content: Json = {
            "version": "5.4.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": f"..\\elsewhere\\{stem}.jpg",
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
        write_json(folder / "img" / f"{stem}.json", content)


def kitti(folder: Path) -> None:
    (folder / "label_2").mkdir()
    for stem, boxes in objects().items():
        lines = "".join(
            f"{category.replace(' ', '_')} 0.00 0 -1.57 {' '.join(map(repr, box))}"
            " 1.6 1.5 3.2 1.8 1.7 9.1 -1.6\n"
            for category, box in boxes
        )
        (folder / "label_2" / f"{stem}.txt").write_text(lines)


def scalabel(folder: Path) -> None:
    frames = [
        {
            "name": f"{stem}.jpg",
            "videoName": "b1c66a42",
            "attributes": {"weather": "rainy", "scene": "highway"},
            "timestamp": 10000,
            "labels": [
                {
                    "id": str(at),
                    "category": category,
                    "attributes": {"occluded": False, "truncated": False},
                    "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
                }
                for at, (category, box) in enumerate(boxes)
            ]
            + [{"id": "lane", "category": "lane/road curb", "poly2d": []}],
        }
        for stem, boxes in objects().items()
    ]
    write_json(folder / "bdd100k_labels_images_val.json", frames)


def openimages(folder: Path) -> None:
    codes = {category: f"/m/0{at}" for at, category in enumerate(CATEGORIES)}
    described = "".join(f"{code},{category}\n" for category, code in codes.items())
    (folder / "class-descriptions-boxable.csv").write_text(described)
    rows = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,"]
    rows[0] += "IsGroupOf,IsDepiction,IsInside"
    for stem, boxes in objects().items():
        for category, (left, top, right, bottom) in boxes:
            sides = (left / WIDTH, right / WIDTH, top / HEIGHT, bottom / HEIGHT)
            numbers = ",".join(map(repr, sides))
            rows.append(f"{stem},xclick,{codes[category]},1,{numbers},0,0,0,0,0")
    (folder / "validation-annotations-bbox.csv").write_text("\n".join(rows) + "\n")


def datumaro(folder: Path) -> None:
    items = [
        {
            "id": stem,
            "image": {"path": f"{stem}.jpg", "size": [HEIGHT, WIDTH]},
            "annotations": [
                {
                    "id": at,
                    "type": "bbox",
                    "attributes": {},
                    "label_id": CATEGORIES.index(category),
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                }
                for at, (category, box) in enumerate(boxes)
            ],
        }
        for stem, boxes in objects().items()
    ]
    labels = [{"name": category, "parent": "", "attributes": []} for category in CATEGORIES]
    content = {"info": {}, "categories": {"label": {"labels": labels}}, "items": items}
    write_json(folder / "default.json", content)


WRITERS: dict[str, tuple[LayoutName, Callable[[Path], None]]] = {
    "coco": (LayoutName.COCO, coco),
    "voc": (LayoutName.VOC, voc),
    "via 1": (LayoutName.VIA, via1),
    "via 3": (LayoutName.VIA_3, via3),
    "ultralytics": (LayoutName.YOLO, ultralytics),
    "roboflow": (LayoutName.YOLO, roboflow),
    "darknet": (LayoutName.YOLO, darknet),
    "cvat": (LayoutName.CVAT, cvat),
    "cvat video": (LayoutName.CVAT, cvat_video),
    "label studio": (LayoutName.LABEL_STUDIO, label_studio),
    "labelme": (LayoutName.LABELME, labelme),
    "kitti": (LayoutName.KITTI, kitti),
    "scalabel": (LayoutName.SCALABEL, scalabel),
    "open images": (LayoutName.OPENIMAGES, openimages),
    "datumaro": (LayoutName.DATUMARO, datumaro),
}


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    folder = tmp_path / "survey"
    folder.mkdir()
    write_pictures(folder / "img")
    return folder


def opened(folder: Path, found: object = None, **given: object) -> Read:
    where = LayoutOptions(**given)  # type: ignore[arg-type]  # as the caller's words say
    detections = DetectionOptions()
    if found is not None:
        file = write_json(folder.parent / "dt.json", found)
        detections = DetectionOptions(predictions=file, detector="ods@1")
    return Read(layout_opener(folder, where, TakenOptions(), detections)())


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_numbers(
    survey: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, write = WRITERS[name]
    write(survey)
    found = named_results()
    for result in found if name == "cvat video" else ():
        result["image_id"] = f"frame_{int(result['image_id'][1:]) - 1:06}"

    outcome = opened(survey, found)

    assert len(outcome.frames) == 12
    assert outcome.stats[0] == pytest.approx(AP, abs=1e-4)
    assert not outcome.rejections
    assert f"read as {layout} (" in " ".join(capsys.readouterr().out.split())


def truths(outcome: Read) -> dict[str, FrameAnnotated | None]:
    return {frame.item.frame_id: next(iter(frame.versions), None) for frame in outcome.frames}


def test_an_image_without_annotations_is_a_frame_that_nobody_annotated(survey: Path) -> None:
    kitti(survey)
    (survey / "label_2" / "f003.txt").unlink()
    (survey / "label_2" / "f004.txt").write_text("")

    found = truths(opened(survey))

    assert found["survey:img/f003.jpg"] is None
    empty = found["survey:img/f004.jpg"]
    assert empty is not None
    assert empty.annotations == ()


def test_a_region_that_kitti_does_not_care_about_is_a_crowd_of_every_category(
    survey: Path,
) -> None:
    kitti(survey)
    file = survey / "label_2" / "f001.txt"
    region = "DontCare -1 -1 -10 10 10 50 50 -1 -1 -1 -1000 -1000 -1000 -10\n"
    file.write_text(file.read_text() + region)

    found = truths(opened(survey))["survey:img/f001.jpg"]

    assert found is not None
    crowds = {item.category for item in found.annotations if item.crowd}
    assert crowds == {category.replace(" ", "_") for category in CATEGORIES}


@pytest.mark.parametrize("flag", ["true", "1", '"1"', '"True"'])
@pytest.mark.parametrize(
    ("write", "file", "without", "flagged"),
    [
        (datumaro, "default.json", '"attributes": {}', '"attributes": {"is_crowd": FLAG}'),
        (
            scalabel,
            "bdd100k_labels_images_val.json",
            '"occluded": false',
            '"occluded": false, "crowd": FLAG',
        ),
        (openimages, "validation-annotations-bbox.csv", ",0,0,0,0,0", ",0,0,FLAG,0,0"),
    ],
)
def test_a_crowd_is_one_however_its_flag_is_written(  # noqa: PLR0917  # what each format writes
    survey: Path, write: Callable[[Path], None], file: str, without: str, flagged: str, flag: str
) -> None:
    write(survey)
    content = (survey / file).read_text()
    assert without in content
    (survey / file).write_text(content.replace(without, flagged.replace("FLAG", flag)))

    found = [truth for truth in truths(opened(survey)).values() if truth is not None]

    assert found
    assert all(part.crowd for truth in found for part in truth.annotations)


def test_bdds_attributes_and_videos_are_tags_and_drives(survey: Path) -> None:
    scalabel(survey)
    captured = [
        draft
        for frame in opened(survey).frames
        for draft in frame.drafts
        if isinstance(draft, FrameCaptured)
    ]
    assert {draft.drive_id for draft in captured} == {"b1c66a42"}
    assert captured[0].tags == {"weather": "rainy", "scene": "highway"}


def test_equal_names_in_two_folders_are_two_images(survey: Path) -> None:
    roboflow(survey)
    for part in ("train", "valid"):
        first = min((survey / part / "images").iterdir())
        label = survey / part / "labels" / f"{first.stem}.txt"
        first.rename(first.with_name("same.jpg"))
        label.rename(label.with_name("same.txt"))

    outcome = opened(survey)

    assert not outcome.rejections
    assert all(found is not None for found in truths(outcome).values())


def test_annotations_that_disagree_are_refused_and_the_image_stays(survey: Path) -> None:
    cvat(survey)
    content = (survey / "annotations.xml").read_text()
    first = content[content.index("<image") : content.index("</image>") + len("</image>")]
    emptied = first[: first.index("<box")] + "</image>"
    (survey / "annotations.xml").write_text(
        content.replace("</annotations>", emptied + "</annotations>")
    )

    outcome = opened(survey)

    assert outcome.reasons == {"duplicate_id": 1}
    assert [frame for frame, found in truths(outcome).items() if found is None] == [
        "survey:img/f001.jpg"
    ]


@pytest.mark.parametrize(
    ("write", "file", "shape", "whole_image"),
    [
        (datumaro, "default.json", '"type": "bbox"', '"type": "label"'),
        (label_studio, "project-1.json", '"type": "rectanglelabels"', '"type": "choices"'),
        (scalabel, "bdd100k_labels_images_val.json", '"box2d"', f'"poly2d": [{LINE}], "was"'),
        (cvat, "annotations.xml", "box", "tag"),
    ],
)
def test_a_data_set_without_any_object_is_refused_and_not_taken_for_empty(
    survey: Path, write: Callable[[Path], None], file: str, shape: str, whole_image: str
) -> None:
    write(survey)
    content = (survey / file).read_text()
    assert shape in content
    (survey / file).write_text(content.replace(shape, whole_image, 2))
    assert not opened(survey).rejections  # of some images, such annotations hide nothing

    (survey / file).write_text(content.replace(shape, whole_image))
    with pytest.raises(InvalidRecord, match="without the shape of an object") as refused:
        opened(survey)
    assert refused.value.reason == "unsupported_shape"


def test_annotations_of_an_unknown_image_are_named(survey: Path) -> None:
    datumaro(survey)
    (survey / "img" / "f005.jpg").unlink()

    outcome = opened(survey)

    assert outcome.reasons == {"unknown_image": 1}
    assert len(outcome.frames) == 11


def test_annotations_of_another_data_set_are_refused_before_anything_is_published(
    survey: Path,
) -> None:
    cvat(survey)
    for file in (survey / "img").iterdir():
        file.rename(file.with_stem(f"other-{file.stem[1:]}x"))
    with pytest.raises(InvalidRecord, match="no annotations fit an image"):
        opened(survey)


def test_a_task_that_names_another_frame_is_refused_by_name(survey: Path) -> None:
    label_studio(survey)
    file = survey / "project-1.json"
    tasks = json.loads(file.read_text())
    tasks[0]["data"]["frame_id"] = "elsewhere:1"
    write_json(file, tasks)
    assert opened(survey).reasons == {"unknown_image": 1}


def test_segments_of_yolo_have_masks(survey: Path) -> None:
    roboflow(survey)

    found = opened(survey).frames
    annotations = [part.value for frame in found for part in frame.item.annotations or ()]

    assert annotations
    for annotation in annotations:
        assert annotation.mask is not None
        x, y, width, height = annotation.bbox
        outline = [x, y, x + width, y, x + width, y + height, x, y + height]
        assert annotation.mask == from_polygons([outline], (WIDTH, HEIGHT)).mask


def test_a_polygon_is_read_as_the_box_around_it_with_its_mask(survey: Path) -> None:
    labelme(survey)
    file = survey / "img" / "f001.json"
    content = json.loads(file.read_text())
    content["shapes"] = [
        {"label": "a", "points": [[9, 9], [30, 20], [15, 40]], "shape_type": "polygon"},
        {"label": "a", "points": [[50, 50], [53, 54]], "shape_type": "circle"},
        {"label": "a", "points": [[5, 5]], "shape_type": "point"},
    ]
    write_json(file, content)

    outcome = opened(survey)

    found = outcome.frames[0].item
    assert [part.value.bbox for part in found.annotations or ()] == [
        (9, 9, 21, 31),
        (45, 45, 10, 10),
    ]
    drawn = from_polygons([[9, 9, 30, 20, 15, 40]], (WIDTH, HEIGHT)).mask
    assert [part.value.mask for part in found.annotations or ()] == [drawn, None]
    assert found.adjustments[Adjustment.BOX_FROM_POLYGON] == 2
    assert outcome.reasons == {"unsupported_shape": 1}
    assert not found.complete


@pytest.mark.parametrize("name", WRITERS)
def test_annotations_that_cannot_be_read_are_never_taken_for_none(survey: Path, name: str) -> None:
    _, write = WRITERS[name]
    write(survey)
    pictures = {".jpg", ".yaml", ".names", ".data"}
    found = [path for path in survey.rglob("*") if path.is_file() and path.suffix not in pictures]
    # One of a folder of files, where there is one; else the file that has all.
    file = max(found, key=lambda path: (path.parent != survey, path))
    file.unlink()
    file.symlink_to(survey / "gone")

    if file.parent == survey:  # one file has all annotations
        with pytest.raises(InvalidRecord, match=r"No such file|in a known format"):
            opened(survey)
        return
    outcome = opened(survey)

    assert any(file.name in item.location for item in outcome.rejections)
    unknown = [frame for frame in outcome.frames if file.stem in frame.item.frame_id]
    assert all(not frame.versions or not frame.item.complete for frame in unknown)


def test_annotations_that_are_cut_off_are_named_beside_others(
    survey: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datumaro(survey)
    content = (survey / "default.json").read_text()
    (survey / "train.json").write_text(content[:-9])
    write_json(survey / "settings.json", {"of": "something else"})

    outcome = opened(survey)

    assert len(outcome.frames) == 12
    assert "not read, because it is not valid JSON: train.json\n" in capsys.readouterr().out
    opened(survey, annotations="default.json")
    assert "not read" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["kitti", "voc", "ultralytics", "labelme"])
def test_a_folder_called_like_a_file_is_none(survey: Path, name: str) -> None:
    _, write = WRITERS[name]
    write(survey)
    for ending in ("txt", "xml", "json", "csv"):
        (survey / f"a.{ending}").mkdir()

    outcome = opened(survey)

    assert len(outcome.frames) == 12
    assert not outcome.rejections


def test_boxes_in_other_units_leave_no_frame_that_counts_as_empty(survey: Path) -> None:
    ultralytics(survey)
    (survey / "labels" / "train" / "f001.txt").write_text("0 160 120 30 30\n1 40 50 20 20\n")

    outcome = opened(survey)

    assert outcome.reasons == {"box_far_outside": 2}
    assert [frame.item.complete for frame in outcome.frames] == [False] + [True] * 11


def test_one_box_in_another_unit_leaves_its_frame_incomplete(survey: Path) -> None:
    ultralytics(survey)
    (survey / "labels" / "train" / "f001.txt").write_text("0 160 120 30 30\n1 .4 .5 .2 .2\n")

    outcome = opened(survey)

    assert outcome.reasons == {"box_far_outside": 1}
    assert [frame.item.complete for frame in outcome.frames] == [False] + [True] * 11


@pytest.mark.parametrize(
    ("name", "file", "sound", "junk"),
    [
        ("via 3", "via3.json", '"xy": [2,', '"xy": [Infinity,'),
        ("via 3", "via3.json", '"xy": [2,', '"xy": [7, 1,'),
        ("via 3", "via3.json", '"xy": [2,', '"xy": [7, NaN, 1, 2, 3,'),
        ("label studio", "project-1.json", '"annotations": [', '"annotations": 5, "was": ['),
        ("label studio", "project-1.json", '"type": "', '"type": {}, "was": "'),
        ("datumaro", "default.json", '"type": "', '"type": [], "was": "'),
    ],
)
def test_a_value_of_another_type_is_refused_alone(
    survey: Path, name: str, file: str, sound: str, junk: str
) -> None:
    _, write = WRITERS[name]
    write(survey)
    text = (survey / file).read_text()
    assert sound in text
    (survey / file).write_text(text.replace(sound, junk, 1))

    outcome = opened(survey)

    assert len(outcome.rejections) == 1
    assert len(outcome.frames) == 12
    annotated = [frame for frame in outcome.frames if frame.versions and frame.item.complete]
    assert len(annotated) == 11


def test_ultralytics_own_data_sets_call_the_file_with_the_names_like_themselves(
    survey: Path,
) -> None:
    ultralytics(survey)
    (survey / "data.yaml").rename(survey / "coco8.yaml")
    (survey / "hyper-parameters.yaml").write_text("lr0: 0.01\n")

    outcome = opened(survey, named_results())

    assert outcome.stats[0] == pytest.approx(AP, abs=1e-4)
    (survey / "another.yaml").write_text("names: [a, b]\n")
    with pytest.raises(InvalidRecord, match=r"yolo|no annotations in a known format"):
        opened(survey)


def test_two_formats_and_none_are_named(survey: Path) -> None:
    with pytest.raises(InvalidRecord, match="no annotations in a known format"):
        found_layout(survey)
    coco(survey)
    voc(survey)
    with pytest.raises(InvalidRecord, match=r"coco \(instances.json\); voc \(Annotations\)"):
        opened(survey)
    assert len(opened(survey, format=LayoutName.VOC).frames) == 12
    assert len(opened(survey, annotations="instances.json").frames) == 12
    with pytest.raises(InvalidRecord, match="not a list of tasks"):
        opened(survey, annotations="instances.json", format=LayoutName.LABEL_STUDIO)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"annotations": "nowhere"}, "there is no .*nowhere"),
        ({"images": "nowhere"}, "there is no .*nowhere"),
        ({"annotations": "label_2/f001.txt", "format": LayoutName.KITTI}, "name their folder"),
        ({"annotations": "label_2/f001.txt", "format": LayoutName.VOC}, "name their folder"),
        ({"annotations": "label_2/f001.txt", "format": LayoutName.OPENIMAGES}, "columns ImageID"),
    ],
)
def test_annotations_that_are_none_are_refused_and_not_taken_for_empty(
    survey: Path, given: dict[str, object], message: str
) -> None:
    kitti(survey)
    with pytest.raises(InvalidRecord, match=message):
        opened(survey, **given)


@pytest.mark.parametrize("name", [LayoutName.COCO, LayoutName.VIA])
@pytest.mark.parametrize(
    "content", [{"images": True, "annotations": [], "categories": []}, [], {"a": 1}]
)
def test_a_list_of_images_that_is_none_is_refused_by_its_reader(
    survey: Path, name: LayoutName, content: object
) -> None:
    write_json(survey / "file.json", content)
    try:
        outcome = opened(survey, annotations="file.json", format=name)
    except InvalidRecord:
        return
    assert not outcome.frames


@pytest.mark.parametrize("write", [coco, kitti])
@pytest.mark.parametrize(("on_disk", "written"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_that_macos_decomposed_are_the_same(
    survey: Path, write: Callable[[Path], None], on_disk: FormName, written: FormName
) -> None:
    write(survey)
    for image in (survey / "img").iterdir():
        image.rename(image.with_name(normalize(on_disk, f"é{image.name}")))
    for label in survey.glob("label_2/*"):
        label.rename(label.with_name(normalize(written, f"é{label.name}")))
    for file in survey.glob("*.json"):
        text = file.read_text().replace('"file_name": "', '"file_name": "é')
        file.write_text(normalize(written, text))
    found = [
        {**result, "image_id": normalize(written, f"é{result['image_id']}")}
        for result in named_results()
    ]

    outcome = opened(survey, found)

    assert not outcome.rejections
    assert len(outcome.frames) == 12
    assert outcome.stats[0] == pytest.approx(AP, abs=1e-4)


def test_a_zip_file_is_read_as_its_content(survey: Path) -> None:
    kitti(survey)
    packed = survey.parent / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(survey.rglob("*.*")):
            archive.write(file, str(file.relative_to(survey)))
        archive.writestr("../outside.txt", "never written there")
    with as_folder(packed) as folder:
        found = truths(opened(folder))
        assert not (folder.parent / "outside.txt").exists()
    assert len(found) == 12
    assert "packed:img/f001.jpg" in found
    assert not folder.exists()


@pytest.mark.parametrize("content", [b"no zip file", b"PK\x03\x04broken"])
def test_a_broken_zip_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "survey.zip"
    file.write_bytes(content)
    with pytest.raises(InvalidRecord, match=r"survey\.zip"), as_folder(file):
        pytest.fail("it was opened")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
def test_a_damaged_part_of_a_zip_file_is_named(tmp_path: Path, method: int) -> None:
    path = tmp_path / "survey.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a", bytes(range(256)) * 9)
    content = bytearray(path.read_bytes())
    content[45:75] = b"\xff" * 30
    path.write_bytes(content)
    with pytest.raises(InvalidRecord, match=r"survey\.zip"), as_folder(path):
        pass


def test_polygons_of_cvat_and_label_studio_are_read_as_the_boxes_around_them(
    survey: Path,
) -> None:
    points = "10.0,20.0;30.0,20.0;20.0,50.0"
    image = f'<image id="0" name="f001.jpg" width="{WIDTH}" height="{HEIGHT}">'
    shape = f'<polygon label="sign" points="{points}"></polygon><polyline label="sign"></polyline>'
    (survey / "annotations.xml").write_text(f"<annotations>{image}{shape}</image></annotations>")
    by_cvat = opened(survey)
    (survey / "annotations.xml").unlink()
    percent = [[10 / 3.2, 20 / 2.4], [30 / 3.2, 20 / 2.4], [20 / 3.2, 50 / 2.4]]
    task = {
        "data": {"image": "f001.jpg"},
        "annotations": [
            {
                "result": [
                    {
                        "type": "polygonlabels",
                        "original_width": WIDTH,
                        "original_height": HEIGHT,
                        "value": {"points": percent, "polygonlabels": ["sign"]},
                    }
                ]
            }
        ],
    }
    write_json(survey / "tasks.json", [task])
    by_label_studio = opened(survey)

    for outcome in (by_cvat, by_label_studio):
        first = outcome.frames[0].item
        assert [part.value.bbox for part in first.annotations or ()] == [
            pytest.approx((10, 20, 20, 30))
        ]
        assert first.adjustments[Adjustment.BOX_FROM_POLYGON] == 1
        drawn = from_polygons([[10, 20, 30, 20, 20, 50]], (WIDTH, HEIGHT)).mask
        assert [part.value.mask for part in first.annotations or ()] == [drawn]
    assert by_cvat.reasons == {"unsupported_shape": 1}
