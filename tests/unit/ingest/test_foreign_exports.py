"""Exports that are not what a command reads, or that name images in a way of their own."""

import codecs
import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.contracts.errors import InvalidRecord
from services.contracts.identity import FrameId
from services.formats.items import Dataset, FrameItem, Rejection
from services.formats.readers.coco import read_coco
from services.formats.readers.cvat import read_cvat
from services.formats.readers.label_studio import read_label_studio
from services.formats.readers.returned import Manifest, NamedFrame
from services.formats.readers.via import read_via
from services.formats.readers.yolo import read_yolo
from services.formats.xml_files import MAX_XML_BYTES
from tests.unit.ingest.datasets import coco, write_json

A = FrameId("drive:3")
SENT = Manifest(
    {
        "drive_3-e9f9c1c2": NamedFrame(A, (320, 240)),
        "cb0618f6-other": NamedFrame(FrameId("drive:4"), (320, 240)),
    }
)


def frames(dataset: Dataset) -> list[FrameId]:
    return [item.frame_id for item in dataset.items if isinstance(item, FrameItem)]


def reasons(dataset: Dataset) -> list[str]:
    return [item.reason for item in dataset.items if isinstance(item, Rejection)]


def test_cvat_for_video_is_named_with_the_format_to_choose(tmp_path: Path) -> None:
    file = tmp_path / "annotations.xml"
    box = '<box frame="0" outside="0" xtl="1.0" ytl="1.0" xbr="9.0" ybr="9.0"/>'
    file.write_text(f'<annotations><track id="0" label="sign">{box}</track></annotations>')

    with pytest.raises(InvalidRecord, match="CVAT for images") as refused:
        read_cvat(file, SENT)
    assert refused.value.reason == "unsupported_format"


def test_a_file_of_cvat_beyond_the_limit_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / "annotations.xml"
    file.write_text("<annotations/>")
    os.truncate(file, MAX_XML_BYTES + 1)

    with pytest.raises(InvalidRecord, match="more than 268,435,456 bytes of XML") as refused:
        read_cvat(file, SENT)
    assert refused.value.reason == "invalid_xml"


def test_via_3_is_named_with_what_to_export(tmp_path: Path) -> None:
    content = {
        "project": {"pname": "x", "data_format_version": "3.1.1"},
        "config": {},
        "attribute": {},
        "file": {"1": {"fid": 1, "fname": "f001.jpg"}},
        "metadata": {"1_a": {"vid": "1", "xy": [2, 10, 20, 30, 40]}},
        "view": {"1": {"fid_list": [1]}},
    }
    with pytest.raises(InvalidRecord, match="VIA 3 project: read its folder with"):
        read_via(write_json(tmp_path / "via3.json", content), images=None)


def test_a_coco_file_without_categories_is_refused_as_a_whole(tmp_path: Path) -> None:
    file = write_json(tmp_path / "gt.json", coco(categories=[]))
    with pytest.raises(InvalidRecord, match="lists no categories"):
        read_coco(file, images=None)


def test_a_coco_file_without_categories_and_annotations_says_that_images_are_empty(
    tmp_path: Path,
) -> None:
    file = write_json(tmp_path / "gt.json", coco(categories=[], annotations=[]))
    assert len(frames(read_coco(file, images=None))) == 2


def test_json_min_is_named_with_the_format_to_choose(tmp_path: Path) -> None:
    task = {"id": 1, "image": "/data/a.jpg", "frame_id": A, "label": [], "annotator": 1}
    with pytest.raises(InvalidRecord, match="JSON in Label Studio, not JSON-MIN"):
        read_label_studio(write_json(tmp_path / "min.json", [task]))


def task(**data: Any) -> dict[str, Any]:
    return {"data": data, "annotations": [{"result": [], "was_cancelled": False}]}


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/4/cb0618f6-drive_3-e9f9c1c2.jpg",
        "/data/upload/4/drive_3-e9f9c1c2.jpg",
        "/data/local-files/?d=images/drive_3-e9f9c1c2.jpg",
        "s3://bucket/some%20where/drive_3-e9f9c1c2.png",
        "https://host/drive_3-e9f9c1c2.jpg?X-Amz-Signature=4f",
    ],
)
def test_a_task_without_a_frame_id_is_known_by_the_file_of_its_image(
    image: str, tmp_path: Path
) -> None:
    file = write_json(tmp_path / "export.json", [task(image=image, weather="http://[rain")])
    assert frames(read_label_studio(file, SENT)) == [A]


def test_a_task_of_no_or_of_two_known_images_is_named(tmp_path: Path) -> None:
    tasks = [
        task(image="/data/upload/4/unknown.jpg"),
        task(left="drive_3-e9f9c1c2.jpg", right="cb0618f6-other.jpg"),
    ]
    dataset = read_label_studio(write_json(tmp_path / "export.json", tasks), SENT)
    details = [item.detail for item in dataset.items if isinstance(item, Rejection)]
    assert "no image of the manifest: unknown.jpg" in details[0]
    assert "2 images of the manifest" in details[1]


def test_a_task_without_a_frame_id_and_without_a_manifest_says_what_to_give(
    tmp_path: Path,
) -> None:
    file = write_json(tmp_path / "export.json", [task(image="/data/upload/4/a.jpg")])
    (item,) = read_label_studio(file).items
    assert isinstance(item, Rejection)
    assert "--manifest" in item.detail


def test_a_name_that_was_sent_as_it_is_is_not_taken_for_an_uploaded_one() -> None:
    assert SENT.of("cb0618f6-other.jpg").frame_id == "drive:4"


def yolo(folder: Path, labels: str = "labels", name: str = "drive_3-e9f9c1c2") -> Path:
    (folder / labels).mkdir(parents=True)
    (folder / labels / f"{name}.txt").write_text("0 .5 .5 .1 .1\n")
    (folder / "data.yaml").write_text("names: [sign]\n")
    return folder


def test_a_byte_order_mark_in_yolo_files_is_passed_over(tmp_path: Path) -> None:
    yolo(tmp_path)
    for file in (tmp_path / "data.yaml", tmp_path / "labels/drive_3-e9f9c1c2.txt"):
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())

    (item,) = read_yolo(tmp_path, SENT).items

    assert isinstance(item, FrameItem)
    assert [annotation.value.category for annotation in item.annotations or ()] == ["sign"]


def test_the_layout_and_the_names_of_roboflow_are_read(tmp_path: Path) -> None:
    name = "drive_3-e9f9c1c2_jpg.rf.0123456789abcdef0123456789abcdef"
    yolo(tmp_path, "train/labels", name)
    assert frames(read_yolo(tmp_path, SENT)) == [A]


def test_hidden_label_files_are_passed_over(tmp_path: Path) -> None:
    yolo(tmp_path)
    for hidden in ("labels/._drive_3-e9f9c1c2.txt", "labels/.ipynb_checkpoints/x.txt"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_text("spoilt")
    dataset = read_yolo(tmp_path, SENT)
    assert frames(dataset) == [A]


def test_a_folder_without_label_files_says_which_to_name(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [sign]\n")
    with pytest.raises(InvalidRecord, match=r"labels/\*\.txt"):
        read_yolo(tmp_path, SENT)


def test_images_that_label_studio_uploaded_are_known_in_its_coco_export(tmp_path: Path) -> None:
    content = json.loads(json.dumps(coco(images=[{"id": 1, "file_name": ""}], annotations=[])))
    content["images"][0]["file_name"] = "images/cb0618f6-drive_3-e9f9c1c2.jpg"
    file = write_json(tmp_path / "result.json", content)
    assert frames(read_coco(file, images=None, sent=SENT)) == [A]
