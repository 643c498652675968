"""Records as KITTI, Open Images, BDD100K and Scalabel publish them."""

from pathlib import Path

import pytest
from PIL import Image

from services.cli.datasets import DetectionOptions, LayoutOptions, TakenOptions
from services.cli.work.opening_layouts import layout_opener
from services.contracts.events import Annotation, FrameAnnotated, FrameCaptured
from tests.unit.ingest.datasets import write_json
from tests.unit.ingest.test_field_cases import Read

KITTI = """\
Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59
Cyclist 0.00 0 -2.46 665.45 160.00 717.93 217.99 1.72 0.47 1.65 2.45 1.35 22.10 -2.35
Pedestrian 0.00 2 0.21 423.17 173.67 433.17 224.03 1.60 0.38 0.30 -5.87 1.63 23.11 -0.03
"""
"""From the development kit's image 000000 on, as NVIDIA TAO's guide quotes it."""
OPEN_IMAGES = """\
ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside
0001eeaf4aed83f9,xclick,/m/0cmf2,1,0.022673031,0.9642005,0.07103825,0.80054647,0,0,0,0,0
000595fe6fee6369,xclick,/m/02xwb,1,0.45655376,0.6097202,0.20399113,0.50554323,0,0,1,0,0
"""
"""From the download page of version 5; the names are those of class-descriptions-boxable.csv."""
BDD100K = {
    "name": "b1c66a42-6f7d68ca.jpg",
    "attributes": {"weather": "overcast", "scene": "city street", "timeofday": "daytime"},
    "timestamp": 10000,
    "labels": [
        {
            "category": "traffic sign",
            "attributes": {"occluded": False, "truncated": False, "trafficLightColor": "none"},
            "manualShape": True,
            "manualAttributes": True,
            "box2d": {"x1": 1000.698742, "y1": 281.992415, "x2": 1040.626872, "y2": 326.91156},
            "id": 0,
        },
    ],
}
"""The first record of bdd100k_labels_images_val.json."""
SCALABEL = {
    "name": "https://labels.example/val/c1ba5ee6-b2cb1e51.jpg",
    "url": "https://labels.example/val/c1ba5ee6-b2cb1e51.jpg",
    "videoName": "",
    "attributes": None,
    "timestamp": 10000,
    "index": 0,
    "labels": [
        {
            "id": 0,
            "category": "car",
            "attributes": {"Occluded": False, "Traffic Light Color": [0, "NA"]},
            "manualShape": False,
            "box2d": {"x1": 895.495, "x2": 981.0588, "y1": 418.4133, "y2": 474.0956},
            "poly2d": None,
            "box3d": None,
        }
    ],
}
"""From examples/image_list_with_auto_labels.json, whose images are named by their addresses."""


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    folder = tmp_path / "survey"
    folder.mkdir()
    return folder


def picture(file: Path, width: int, height: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(file)


def last_frame(folder: Path) -> tuple[FrameCaptured, tuple[Annotation, ...]]:
    opened = Read(layout_opener(folder, LayoutOptions(), TakenOptions(), DetectionOptions())())
    assert not opened.rejections
    (captured, annotated) = opened.frames[-1].drafts
    assert isinstance(captured, FrameCaptured)
    assert isinstance(annotated, FrameAnnotated)
    return captured, annotated.annotations


def boxes(annotations: tuple[Annotation, ...]) -> list[tuple[str, tuple[float, ...]]]:
    """Categories, and boxes to 3 decimals: readers subtract the corners."""
    return [(item.category, tuple(round(side, 3) for side in item.bbox)) for item in annotations]


def test_kitti(survey: Path) -> None:
    picture(survey / "training" / "image_2" / "000001.png", 1242, 375)
    labels = survey / "training" / "label_2"
    labels.mkdir()
    (labels / "000001.txt").write_text(KITTI)

    _, annotations = last_frame(survey)

    assert boxes(annotations) == [
        ("Car", (587.01, 173.33, 27.11, 26.79)),
        ("Cyclist", (665.45, 160.0, 52.48, 57.99)),
        ("Pedestrian", (423.17, 173.67, 10.0, 50.36)),
    ]


def test_open_images(survey: Path) -> None:
    for name in ("0001eeaf4aed83f9", "000595fe6fee6369"):
        picture(survey / "train" / f"{name}.jpg", 1000, 500)
    (survey / "train-annotations-bbox.csv").write_text(OPEN_IMAGES)
    (survey / "class-descriptions-boxable.csv").write_text("/m/0cmf2,Airplane\n/m/02xwb,Fruit\n")

    _, annotations = last_frame(survey)

    assert boxes(annotations) == [("Fruit", (456.554, 101.996, 153.166, 150.776))]
    assert [item.crowd for item in annotations] == [True]


def test_bdd100k(survey: Path) -> None:
    picture(survey / "images" / "100k" / "val" / "b1c66a42-6f7d68ca.jpg", 1280, 720)
    write_json(survey / "bdd100k_labels_images_val.json", [BDD100K])

    captured, annotations = last_frame(survey)

    assert captured.tags == {
        "weather": "overcast",
        "scene": "city street",
        "timeofday": "daytime",
    }
    assert boxes(annotations) == [("traffic sign", (1000.699, 281.992, 39.928, 44.919))]


def test_scalabel(survey: Path) -> None:
    picture(survey / "c1ba5ee6-b2cb1e51.jpg", 1280, 720)
    write_json(survey / "image_list_with_auto_labels.json", [SCALABEL])

    captured, annotations = last_frame(survey)

    assert captured.drive_id is None
    assert boxes(annotations) == [("car", (895.495, 418.413, 85.564, 55.682))]
