import json
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from services.formats.adjustments import Adjustment
from services.formats.items import Detector, Item
from services.formats.readers.voc import read_voc
from tests.unit.ingest.datasets import Json, frames, rejections, write_images, write_json

DETECTOR = Detector("ods", "1")
BOX = "<xmin>1</xmin><ymin>2</ymin><xmax>11.5</xmax><ymax>22</ymax>"


ROTATION = (
    "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes>"
)


def xml_object(name: str = "Traffic sign", box: str = BOX, more: str = "") -> str:
    return f"<object>\n<name>{escape(name)}</name>{more}<bndbox>{box}</bndbox></object>\n"


def xml(*objects: str, filename: str = "a 1.jpg") -> str:
    size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
    objects_text = "".join(objects)
    return f"<annotation>\n<filename>{filename}</filename>{size}\n{objects_text}</annotation>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "street"
    write_images(folder, "a 1.jpg", "test/2.jpg", "test/000003.jpeg")
    return folder


def write(folder: Path, name: str, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)


def read(folder: Path, results: list[Json] | Json | None = None) -> list[Item]:
    predictions = write_json(folder.parent / "dt.json", results) if results is not None else None
    dataset = read_voc(folder, images=folder, predictions=predictions, detector=DETECTOR)
    return list(dataset.items)


def test_objects_become_boxes_with_their_names(folder: Path) -> None:
    write(
        folder, "a 1.xml", xml(xml_object(), xml_object("truck", more="<difficult>1</difficult>"))
    )

    (frame,) = frames(read(folder))

    assert frame.frame_id == "street:a%201"
    assert frame.image == (folder / "a 1.jpg").resolve()
    sign, truck = (annotation.value for annotation in frame.annotations or ())
    assert (sign.category, sign.bbox, sign.ignore) == ("Traffic sign", (1, 2, 10.5, 20), False)
    assert (truck.category, truck.ignore) == ("truck", True)


@pytest.mark.parametrize(
    ("text", "ignored"),
    [("true", True), (" 1 ", True), ("False", False), ("0", False), ("", False)],
)
def test_difficult_is_a_flag_however_it_is_written(
    folder: Path, text: str, *, ignored: bool
) -> None:
    write(folder, "a 1.xml", xml(xml_object(more=f"<difficult>{text}</difficult>")))

    (frame,) = frames(read(folder))

    assert [part.value.ignore for part in frame.annotations or ()] == [ignored]


def test_what_is_no_flag_is_refused(folder: Path) -> None:
    write(folder, "a 1.xml", xml(xml_object(more="<difficult>very</difficult>")))

    items = read(folder)

    assert [rejection.reason for rejection in rejections(items)] == ["invalid_difficult"]
    assert not frames(items)[0].complete


def test_a_rotated_box_is_the_upright_box_around_it(folder: Path) -> None:
    box = "<xmin>20</xmin><ymin>20</ymin><xmax>40</xmax><ymax>30</ymax>"
    upright = xml_object(box=box, more=ROTATION.replace("90.0", "0.0"))
    write(folder, "a 1.xml", xml(xml_object(box=box, more=ROTATION), upright))

    (frame,) = frames(read(folder))

    assert [part.value.bbox for part in frame.annotations or ()] == [
        pytest.approx((25, 15, 10, 20)),
        (20, 20, 20, 10),
    ]
    assert frame.adjustments == {Adjustment.ROTATED_BOX: 1}


def test_files_in_folders_name_their_frames_by_path(folder: Path) -> None:
    write(folder, "test/2.xml", xml(filename="2.jpg"))
    write(folder, "a 1.xml", xml())

    assert [frame.frame_id for frame in frames(read(folder))] == ["street:a%201", "street:test/2"]


def test_an_image_is_found_by_its_stem_where_the_xml_names_another(folder: Path) -> None:
    write(folder, "test/000003.xml", xml(filename="IMG_9.jpg"))

    (frame,) = frames(read(folder))

    assert frame.image == (folder / "test/000003.jpeg").resolve()


def test_an_image_without_objects_is_annotated_and_empty(folder: Path) -> None:
    write(folder, "a 1.xml", xml())

    assert frames(read(folder))[0].annotations == ()


@pytest.mark.parametrize(
    "name",
    [
        {"file_name": "test/000003.jpeg"},
        {"file_name": "000003.jpeg"},
        {"image_id": "000003"},
        {"image_id": "test/000003"},
        {"image_id": 3},
    ],
)
def test_results_may_call_an_image_by_path_name_stem_or_number(folder: Path, name: Json) -> None:
    write(folder, "a 1.xml", xml())
    write(folder, "test/000003.xml", xml(filename="000003.jpeg"))
    result = name | {"category": "Traffic sign", "bbox": [1, 2, 3, 4], "score": 0.5}

    items = read(folder, [result])

    assert rejections(items) == []
    assert [len(frame.detections or ()) for frame in frames(items)] == [0, 1]


def test_an_ambiguous_name_is_refused(folder: Path) -> None:
    write_images(folder, "1.jpg", "test/01.jpg")
    write(folder, "1.xml", xml(filename="1.jpg"))
    write(folder, "test/01.xml", xml(filename="01.jpg"))

    result = {"image_id": 1, "category": "sign", "bbox": [1, 2, 3, 4], "score": 0.5}
    items = read(folder, [result, result | {"image_id": "01.jpg"}])

    assert [rejection.reason for rejection in rejections(items)] == ["unknown_image"]


def test_a_category_number_needs_a_list(folder: Path) -> None:
    write(folder, "a 1.xml", xml())
    result = {"image_id": "a 1", "category_id": 4, "bbox": [1, 2, 3, 4], "score": 0.5}
    listed = {"categories": [{"id": 4, "name": "shop lamp"}], "annotations": [result]}

    by_name = result | {"category_id": "shop lamp"}
    refused = rejections(read(folder, [result, by_name]))
    assert [rejection.reason for rejection in refused] == ["unknown_category"]
    found = frames(read(folder, listed))[0].detections or ()
    assert [part.value.category for part in found] == ["shop lamp"]


@pytest.mark.parametrize(
    ("reason", "bad"),
    [
        ("unknown_category", xml_object("")),
        ("unknown_category", "<object/>"),
        ("malformed_record", xml_object(more="<name>truck</name>")),
        ("malformed_record", xml_object(more=f"<bndbox>{BOX}</bndbox>")),
        ("rotated_box", xml_object(more=ROTATION.replace("90.0", "left"))),
        ("malformed_record", xml_object(box="<xmin>1</xmin>")),
        ("malformed_record", xml_object(box=BOX.replace("11.5", "wide"))),
        ("box_not_finite", xml_object(box=BOX.replace("11.5", "nan"))),
        ("box_without_area", xml_object(box=BOX.replace("11.5", "1"))),
    ],
)
def test_a_bad_object_is_named_with_its_line(folder: Path, reason: str, bad: str) -> None:
    write(folder, "a 1.xml", xml(xml_object(), bad, xml_object()))

    items = read(folder)

    (rejection,) = rejections(items)
    assert (rejection.reason, rejection.location) == (reason, f"{folder}/a 1.xml:5")
    assert rejection.raw.startswith(b"<object")
    assert len(frames(items)[0].annotations or ()) == 2


LAUGHS = '<!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;&l;">]>' + xml(xml_object("&m;"))
OUTSIDE = '<!DOCTYPE a [<!ENTITY l SYSTEM "file:///etc/passwd">]>' + xml()


@pytest.mark.parametrize(
    ("reason", "content"),
    [
        ("invalid_xml", ""),
        ("invalid_xml", "<annotation>"),
        ("invalid_xml", "<html></html>"),
        ("invalid_xml", b"\xff\xfe\x00"),
        ("invalid_xml", b"<annotation>\xff</annotation>"),
        ("invalid_xml", '<?xml version="1.0" encoding="nonsense"?><annotation/>'),
        ("invalid_xml", xml(f"<objects>{xml_object()}</objects>")),
        ("invalid_xml", xml(xml_object(), xml_object().replace("object>", "Object>"))),
        ("invalid_xml", LAUGHS),
        ("invalid_xml", OUTSIDE),
        ("invalid_xml", b" " * (16 * 1024 * 1024 + 1)),
        ("missing_image", xml(filename="gone.jpg")),
        ("path_outside_folder", xml(filename="../../etc/passwd")),
        ("path_outside_folder", xml(filename="../secret.jpg")),
    ],
)
def test_a_bad_file_is_named_with_what_was_predicted_there(
    folder: Path, reason: str, content: str | bytes
) -> None:
    (folder.parent / "secret.jpg").write_bytes(b"secret")
    write(folder, "bad.xml", content)
    write(folder, "a 1.xml", xml())
    result = {"image_id": "bad", "category": "sign", "bbox": [1, 2, 3, 4], "score": 0.5}

    items = read(folder, [result])

    assert len(frames(items)) == 1
    (rejection,) = rejections(items)
    assert (rejection.reason, rejection.whole_frame) == (reason, True)
    assert rejection.location == f"{folder}/bad.xml"
    assert len(json.loads(rejection.raw)["predictions"]) == 1


def test_a_link_out_of_the_folder_is_not_read(folder: Path) -> None:
    (folder / "passwd.xml").symlink_to("/etc/passwd")

    (rejection,) = rejections(read(folder))

    assert rejection.reason == "path_outside_folder"
    assert b"root" not in rejection.raw


def test_endless_nesting_is_refused_and_not_followed(folder: Path) -> None:
    deep = "<object>" + "<a>" * 50_000 + "</a>" * 50_000 + "</object>"
    write(folder, "a 1.xml", xml(deep))

    items = read(folder)

    assert [rejection.reason for rejection in rejections(items)] == ["unknown_category"]
    assert frames(items)[0].annotations == ()
