"""What goes out comes back as it was, to the pixel, by the tools' own rules."""

import contextlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defusedxml.ElementTree import fromstring
from pycocotools import mask as masks
from pycocotools.coco import COCO

from services.contracts.events import Annotation, Rle
from services.contracts.identity import Category, FrameId, NeedleId, RegionId
from services.formats.items import Dataset, FrameItem
from services.formats.readers.coco import read_coco
from services.formats.readers.voc import read_voc
from services.formats.writers.coco import INSTANCES, to_coco
from services.formats.writers.cvat import to_cvat
from services.formats.writers.datumaro import to_datumaro
from services.formats.writers.format_names import Format
from services.formats.writers.formats import EXPORTERS, manifest
from services.formats.writers.frames import ExportFrame, Proposal
from services.formats.writers.label_studio import to_label_studio
from services.formats.writers.voc import to_voc
from services.formats.writers.yolo import to_yolo

AT = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
STOP, ODD = Category("stop sign"), Category('<b>&"é: #1')
PLAIN = (
    Annotation(category=STOP, bbox=(393.1, 158.6, 14.7, 14.9)),
    Annotation(category=ODD, bbox=(0.0, 0.1, 1 / 3, 359.9), area=12.5),
)


def frame(frame_id: str, **changes: Any) -> ExportFrame:
    plain = ExportFrame(
        frame_id=FrameId(frame_id),
        media_type="image/jpeg",
        width=640,
        height=360,
        sha256="a" * 64,
        captured_at=AT,
        vehicle_id="v1",
        drive_id="d1",
        revision=3,
        annotations=PLAIN,
    )
    return replace(plain, **changes)


FRAMES = [
    frame("survey:000000000002"),
    frame("veh/7#1", annotations=()),
    frame("nobody", annotations=None, revision=0),
]
PROPOSAL = Proposal(RegionId("r"), STOP, 0.75, (10.0, 20.0, 30.0, 40.0), NeedleId("n"))


def runs() -> str:
    """A rectangle's run lengths, as COCO compresses them."""
    filled = np.zeros((360, 640), np.uint8, order="F")
    filled[2:12, 1:11] = 1
    return str(masks.encode(filled)["counts"].decode())


def write(export_files: dict[str, bytes], folder: Path) -> None:
    for path, content in export_files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def truths(dataset: Dataset) -> dict[str, list[Annotation]]:
    items = list(dataset.items)
    assert all(isinstance(item, FrameItem) for item in items)
    return {
        item.frame_id: [annotation.value for annotation in item.annotations or ()]
        for item in items
        if isinstance(item, FrameItem)
    }


def near(annotations: Any) -> list[Any]:
    return [
        (annotation.category, pytest.approx(annotation.bbox, abs=1e-6))
        for annotation in annotations
    ]


def contents_of(annotations: Any) -> list[Any]:
    return [(annotation.category, annotation.bbox) for annotation in annotations]


def test_coco_comes_back_exactly_by_our_own_reader(tmp_path: Path) -> None:
    mask = Rle(size=(360, 640), counts=runs())
    crowd = Annotation(category=STOP, bbox=(1.5, 2.5, 10.0, 10.0), area=40.0, crowd=True, mask=mask)
    write(to_coco([*FRAMES, frame("z", annotations=(crowd,))]).files, tmp_path)

    back = truths(read_coco(tmp_path / INSTANCES, images=None, dataset="other"))

    assert sorted(back) == ["survey:000000000002", "veh/7#1", "z"]
    assert contents_of(back["survey:000000000002"]) == contents_of(PLAIN)
    assert back["veh/7#1"] == []
    assert (back["z"][0].crowd, back["z"][0].area, back["z"][0].mask) == (True, 40.0, mask)


def test_an_object_goes_out_to_coco_with_the_area_of_its_mask(tmp_path: Path) -> None:
    mask = Rle(size=(360, 640), counts=runs())
    wide = Annotation(category=STOP, bbox=(0.0, 0.0, 100.0, 100.0), mask=mask)
    write(to_coco([frame("a", annotations=(wide,))]).files, tmp_path)

    ((back,),) = truths(read_coco(tmp_path / INSTANCES, images=None, dataset="other")).values()

    assert back.area == 100  # the mask's, by which it is matched


def test_coco_is_read_by_pycocotools_with_its_results(tmp_path: Path) -> None:
    write(to_coco([frame("a", proposals=(PROPOSAL,)), frame("b")]).files, tmp_path)

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / INSTANCES))
        results = truth.loadRes(str(tmp_path / "predictions.json"))

    assert [loadAnn["bbox"] for loadAnn in truth.loadAnns([1, 2])] == [list(a.bbox) for a in PLAIN]
    assert [loadAnn["score"] for loadAnn in results.loadAnns(results.getAnnIds())] == [0.75]


def test_voc_comes_back_to_the_pixel_under_the_same_ids(tmp_path: Path) -> None:
    ignored = Annotation(category=STOP, bbox=(1.0, 2.0, 3.0, 4.0), ignore=True)
    write(to_voc([*FRAMES, frame("z", annotations=(ignored,))]).files, tmp_path)

    back = truths(read_voc(tmp_path / "Annotations", images=None))

    assert sorted(back) == ["survey:000000000002", "veh/7#1", "z"]
    assert contents_of(back["survey:000000000002"]) == near(PLAIN)
    assert back["z"][0].ignore


def test_yolo_comes_back_to_the_pixel_by_its_own_rule() -> None:
    files = to_yolo([FRAMES[0]]).files
    names = {}
    for line in files["data.yaml"].decode().partition("names:")[2].strip().splitlines():
        number, _, name = line.partition(":")
        names[int(number)] = json.loads(name)
    back = []
    for line in files[f"labels/{FRAMES[0].stem}.txt"].decode().splitlines():
        number, *shares = line.split()
        x, y, width, height = (float(s) for s in shares)
        corner = ((x - width / 2) * 640, (y - height / 2) * 360, width * 640, height * 360)
        back.append((names[int(number)], corner))

    assert back == near(PLAIN)


def test_yolo_lists_a_frame_as_often_as_it_weighs() -> None:
    files = to_yolo([frame("a", weight=3), frame("b")]).files

    assert files["train.txt"].decode().splitlines() == ["./images/a.jpg"] * 3 + ["./images/b.jpg"]


def test_cvat_comes_back_to_the_pixel_and_proposals_are_marked() -> None:
    root = fromstring(to_cvat([frame("a", proposals=(PROPOSAL,))]).files["annotations.xml"])

    boxes = root.findall("image/box")
    corners = [[float(box.get(s, "")) for s in ("xtl", "ytl", "xbr", "ybr")] for box in boxes]
    back = [
        (box.get("label"), (x, y, right - x, bottom - y))
        for box, (x, y, right, bottom) in zip(boxes, corners, strict=True)
    ]
    marks = [
        {element.get("name"): element.text for element in box.findall("attribute")} for box in boxes
    ]
    assert back[:2] == near(PLAIN)
    assert marks[2] == {"proposal": "true", "score": "0.75", "needle_id": "n"}
    assert marks[:2] == [{}, {}]
    labels = {element.findtext("name") for element in root.findall("meta/task/labels/label")}
    assert labels == {STOP, ODD}


def test_label_studio_comes_back_to_the_pixel_with_proposals_as_predictions() -> None:
    given = frame("a", proposals=(PROPOSAL,))
    files = to_label_studio([given]).files
    (task,) = json.loads(files["tasks.json"])
    (annotation,), (prediction,) = task["annotations"], task["predictions"]

    def box(result: dict[str, Any]) -> tuple[str, tuple[float, ...]]:
        value, wide, high = result["value"], result["original_width"], result["original_height"]
        sides = (value["x"] * wide, value["y"] * high, value["width"] * wide)
        shares = (*sides, value["height"] * high)
        return value["rectanglelabels"][0], tuple(share / 100 for share in shares)

    assert [box(result) for result in annotation["result"]] == near(PLAIN)
    assert box(prediction["result"][0]) == near([PROPOSAL])[0]
    assert prediction["result"][0]["score"] == 0.75
    assert task["data"]["frame_id"] == "a"
    assert files == to_label_studio([given]).files
    assert len(fromstring(files["labeling.xml"]).findall("RectangleLabels/Label")) == 2


def test_datumaro_comes_back_exactly_by_its_own_form() -> None:
    content = json.loads(to_datumaro([FRAMES[0]]).files["annotations/default.json"])
    names = [entry["name"] for entry in content["categories"]["label"]["labels"]]
    (item,) = content["items"]

    back = [(names[entry["label_id"]], tuple(entry["bbox"])) for entry in item["annotations"]]
    assert back == contents_of(PLAIN)
    assert item["image"] == {"path": FRAMES[0].file_name, "size": [360, 640]}


@pytest.mark.parametrize("form", Format)
def test_what_a_format_cannot_say_is_counted(form: Format) -> None:
    mask = Rle(size=(360, 640), counts="Z;3U;000nbo6")
    special = Annotation(
        category=STOP, bbox=(1.0, 2.0, 3.0, 4.0), crowd=True, ignore=True, mask=mask
    )
    losses = dict(EXPORTERS[form]([frame("a", annotations=(special,)), FRAMES[2]]).losses)

    expected = {
        Format.COCO: {"not annotated": 1},
        Format.VOC: {"mask": 1, "not annotated": 1},
        Format.YOLO: {"crowd": 1, "ignore": 1, "mask": 1, "not annotated": 1},
        Format.CVAT: {},
        Format.LABEL_STUDIO: {"mask": 1},
        Format.DATUMARO: {"not annotated": 1},
    }
    assert losses == expected[form]


@pytest.mark.parametrize("form", Format)
def test_the_same_frames_in_any_order_give_the_same_bytes(form: Format) -> None:
    forward, backward = EXPORTERS[form](FRAMES), EXPORTERS[form](FRAMES[::-1])

    assert manifest(forward) == manifest(backward)


def test_file_names_of_like_ids_differ_and_stay_in_their_folder() -> None:
    names = [frame(text).file_name for text in ("../a/b", "a:b", "a_b", "a/b", "é" * 200, ".x")]

    assert len(set(names)) == len(names)
    assert not any("/" in name or name.startswith(".") for name in names)
    assert max(len(name) for name in names) < 140
