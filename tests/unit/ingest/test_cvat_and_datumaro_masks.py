"""Masks in the layouts of CVAT and Datumaro: pixel for pixel, or refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from services.annotation.cvat.jobs import read_cvat_jobs
from services.annotation.cvat.server import JobFrame, Shape
from services.contracts.bounds import MAX_RLE
from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Rle
from services.contracts.identity import FrameId
from services.domain.detection.mask_shapes import pixels
from services.formats.cvat_masks import CvatMask
from services.formats.items import Dataset, FrameItem, Rejection
from services.formats.masks import from_polygons, shape_of
from services.formats.readers.cvat import read_cvat
from services.formats.readers.cvat_video import read_cvat_video
from services.formats.readers.datumaro import read_datumaro
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest, NamedFrame
from services.formats.writers.cvat import to_cvat
from services.formats.writers.datumaro import to_datumaro
from services.formats.writers.format_names import Format
from services.formats.writers.formats import EXPORTERS
from tests.unit.ingest.datasets import write_json
from tests.unit.ingest.test_exporters import STOP, frame, truths

SIZE = (6, 4)
SENT = Manifest(
    {"a": NamedFrame(FrameId("a"), SIZE), "frame_000000": NamedFrame(FrameId("a"), SIZE)}
)
RING = np.array(
    [[1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]], np.uint8
)
EMPTY = np.zeros((4, 6), np.uint8)


def rle(drawn: NDArray[np.uint8]) -> Rle:
    height, width = drawn.shape
    encoded = coco_mask.encode(np.asfortranarray(drawn))
    return Rle(size=(height, width), counts=encoded["counts"].decode())


def annotation(mask: Rle, **changes: Any) -> Annotation:
    return Annotation(category=STOP, bbox=(0.5, 0.5, 3.0, 3.0), mask=mask, **changes)


@settings(max_examples=200)
@given(
    drawn=array_shapes(min_dims=2, max_dims=2, max_side=9)
    .flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))
    .filter(np.any)
)
def test_every_mask_comes_back_from_cvats_form(drawn: NDArray[np.uint8]) -> None:
    mask = rle(drawn)
    height, width = drawn.shape

    found = CvatMask.of(mask)

    assert found.on((width, height)).mask == mask
    assert CvatMask.of_points(found.points) == found
    # As CVAT and Datumaro read it: COCO's run lengths of the transposed box.
    box = {"counts": list(found.runs), "size": [found.width, found.height]}
    counts = coco_mask.frPyObjects(box, found.width, found.height)["counts"].decode()
    turned = pixels(Rle(size=(found.width, found.height), counts=counts))
    inside = drawn[found.top : found.top + found.height, found.left : found.left + found.width]
    assert np.array_equal(turned.T, inside)
    assert inside[0].any()
    assert inside[-1].any()
    assert inside[:, 0].any()
    assert inside[:, -1].any()


def test_a_ring_is_written_as_cvat_writes_it() -> None:
    text = to_cvat(
        [frame("a", width=6, height=4, annotations=(annotation(rle(RING), crowd=True),))]
    )
    content = text.files["annotations.xml"].decode()

    assert 'rle="0, 4, 1, 4" left="0" top="0" width="3" height="3"' in content
    assert "<box" not in content
    assert '<attribute name="crowd">true</attribute>' in content


def cvat(folder: Path, shapes: str, size: str = 'width="6" height="4"') -> Dataset:
    file = folder / "annotations.xml"
    file.write_text(f'<annotations><image name="a.jpg" {size}>{shapes}</image></annotations>')
    return read_cvat(file, SENT)


def mask(runs: str, left: int = 0, top: int = 0, width: int = 2, height: int = 2) -> str:
    sides = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    return f'<mask label="sign" rle="{runs}" {sides}></mask>'


def reasons(dataset: Dataset) -> dict[str, bool]:
    """The reasons of all rejections, and whether the frame is complete."""
    items = list(dataset.items)
    (complete,) = [item.complete for item in items if isinstance(item, FrameItem)]
    return {item.reason: complete for item in items if isinstance(item, Rejection)}


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (mask("0, 4", left=5), "invalid_mask"),
        (mask("0, 4", left=-1), "invalid_mask"),
        (mask("0, 4", top=3), "invalid_mask"),
        (mask("0, 4", width=-2, height=-2), "invalid_mask"),
        (mask("0, 3"), "invalid_mask"),
        (mask("0, 5"), "invalid_mask"),
        (mask("0, 6, -2"), "invalid_mask"),
        (mask(""), "invalid_mask"),
        (mask("0, 4.5"), "invalid_mask"),
        (f"{mask('0, 4').replace(' top', ' bottom')}", "invalid_mask"),
        ('<polygon label="sign" points="0,0;4,0;4"></polygon>', "invalid_box"),
        ('<polygon label="sign" points="0,0;4,0"></polygon>', "unsupported_shape"),
    ],
)
def test_a_mask_that_cannot_be_drawn_is_named_and_its_frame_is_incomplete(
    shape: str, reason: str, tmp_path: Path
) -> None:
    assert reasons(cvat(tmp_path, mask("0, 4") + shape)) == {reason: False}


def test_an_empty_mask_is_named_and_hides_nothing(tmp_path: Path) -> None:
    assert reasons(cvat(tmp_path, mask("0, 4") + mask("4"))) == {"box_without_area": True}


@pytest.mark.parametrize("size", ["", 'width="99999" height="99999"'])
def test_a_mask_without_a_sound_image_size_is_named(size: str, tmp_path: Path) -> None:
    shape = '<box label="sign" xtl="1" ytl="1" xbr="2" ybr="2"></box>' + mask("0, 4")
    assert reasons(cvat(tmp_path, shape, size)) == {"invalid_mask": False}


def test_a_mask_at_the_edge_is_read_with_the_box_around_it(tmp_path: Path) -> None:
    (found,) = truths(cvat(tmp_path, mask("1, 3", left=4, top=2)))["a"]

    assert found.bbox == (4.0, 2.0, 2.0, 2.0)
    assert found.mask is not None
    assert np.argwhere(pixels(found.mask)).tolist() == [[2, 5], [3, 4], [3, 5]]


def test_a_polygon_too_thin_for_a_pixel_keeps_its_box(tmp_path: Path) -> None:
    dataset = cvat(tmp_path, '<polygon label="sign" points="1.1,1;1.2,1;1.2,3;1.1,3"></polygon>')
    items = list(dataset.items)

    (item,) = [item for item in items if isinstance(item, FrameItem)]
    (found,) = [part.value for part in item.annotations or ()]
    assert item.complete
    assert found.mask is None
    assert found.bbox == pytest.approx((1.1, 1, 0.1, 2))
    assert [item.reason for item in items if isinstance(item, Rejection)] == ["box_without_area"]


def test_a_polygon_on_an_image_too_large_for_masks_keeps_its_box(tmp_path: Path) -> None:
    polygon = '<polygon label="sign" points="0,0;4,0;4,4"></polygon>'
    items = list(cvat(tmp_path, polygon, 'width="99999" height="99999"').items)

    assert [item.reason for item in items if isinstance(item, Rejection)] == ["invalid_mask"]
    (item,) = [item for item in items if isinstance(item, FrameItem)]
    (found,) = [part.value for part in item.annotations or ()]
    assert (item.complete, found.mask, found.bbox) == (True, None, (0, 0, 4, 4))


def test_a_mask_of_more_runs_than_an_event_holds_is_named() -> None:
    counts = b"1" * 3 + b"0" * MAX_RLE
    with pytest.raises(InvalidRecord, match="at most") as refused:
        shape_of((1, len(counts)), counts)
    assert refused.value.reason == "invalid_mask"


def test_masks_of_a_video_and_of_a_server_are_read_too(tmp_path: Path) -> None:
    size = "<original_size><width>6</width><height>4</height></original_size>"
    shape = mask("0, 4").replace("<mask", '<mask frame="0" outside="0"')
    track = f'<track id="0" label="sign">{shape}</track>'
    file = tmp_path / "annotations.xml"
    file.write_text(f"<annotations><meta><task>{size}</task></meta>{track}</annotations>")
    points = {"mask": [0.0, 4.0, 0.0, 0.0, 1.0, 1.0], "polygon": [0.0, 0.0, 2.0, 0.0, 2.0, 2.0]}
    shapes = [
        Shape(label="sign", type=kind, points=values, rotation=0.0, attributes={})
        for kind, values in points.items()
    ]
    job = JobFrame(job=1, name="a.jpg", size=SIZE, annotator=None, shapes=shapes)

    (by_video,) = truths(read_cvat_video(file, SENT))["a"]
    by_server, outlined = truths(read_cvat_jobs([job], SENT))["a"]

    assert by_video == by_server
    assert by_video.bbox == (0.0, 0.0, 2.0, 2.0)
    assert outlined.mask == from_polygons([points["polygon"]], SIZE).mask


def test_a_mask_of_a_server_that_is_no_mask_is_named() -> None:
    shapes = [
        Shape(label="sign", type="mask", points=points, rotation=0.0, attributes={})
        for points in ([0.5, 3.5, 0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0])
    ]
    job = JobFrame(job=1, name="a.jpg", size=SIZE, annotator=None, shapes=shapes)

    items = list(read_cvat_jobs([job], SENT).items)

    found = [item.reason for item in items if isinstance(item, Rejection)]
    assert found == ["invalid_mask", "unsupported_shape"]


def datumaro(folder: Path, *annotations: dict[str, Any]) -> Dataset:
    item = {
        "id": "a",
        "image": {"path": "a.jpg", "size": [4, 6]},
        "annotations": [{"label_id": 0, "group": 0, "attributes": {}} | one for one in annotations],
    }
    labels = [{"name": "sign"}, {"name": "post"}]
    content = {"categories": {"label": {"labels": labels}}, "items": [item]}
    return read_datumaro(write_json(folder / "default.json", content), SENT)


def test_a_mask_is_written_as_datumaro_writes_it(tmp_path: Path) -> None:
    whole = rle(RING)
    crowd = annotation(whole, crowd=True)
    text = to_datumaro([frame("a", width=6, height=4, annotations=(crowd,))])
    (item,) = json.loads(text.files["annotations/default.json"])["items"]
    (written,) = item["annotations"]

    assert written["type"] == "mask"
    assert written["rle"] == {"counts": whole.counts, "size": [4, 6]}
    (found,) = truths(datumaro(tmp_path, written))["a"]
    assert (found.mask, found.bbox, found.crowd) == (whole, (0, 0, 3, 3), True)


def test_polygons_of_one_group_and_label_are_one_object(tmp_path: Path) -> None:
    left, right = [0.0, 0.0, 2.0, 0.0, 2.0, 2.0], [4.0, 1.0, 6.0, 1.0, 6.0, 4.0]
    parts = [{"type": "polygon", "group": 7, "points": points} for points in (left, right)]
    other = {"type": "polygon", "group": 7, "label_id": 1, "points": left}
    boxes = [{"type": "bbox", "group": 7, "bbox": [1, 1, 2, 2]}] * 2
    alone = {"type": "polygon", "points": right}

    found = truths(datumaro(tmp_path, *parts, other, *boxes, alone))["a"]

    assert [(one.category, one.bbox) for one in found] == [
        ("sign", (0, 0, 6, 4)),
        ("post", (0, 0, 2, 2)),
        ("sign", (1, 1, 2, 2)),
        ("sign", (1, 1, 2, 2)),
        ("sign", (4, 1, 2, 3)),
    ]
    assert found[0].mask == from_polygons([left, right], SIZE).mask
    assert found[4].mask == from_polygons([right], SIZE).mask


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"type": "mask", "rle": {"size": [8, 12], "counts": [0, 96]}}, "size_mismatch"),
        ({"type": "mask", "rle": {"size": [4, 6], "counts": [0, 23]}}, "invalid_mask"),
        ({"type": "mask", "rle": {"size": [4, 6], "counts": "~"}}, "invalid_mask"),
        ({"type": "mask"}, "invalid_mask"),
        ({"type": "polygon", "points": [0.0, 0.0, 1.0]}, "invalid_mask"),
        ({"type": "polygon"}, "invalid_mask"),
        ({"type": "polyline", "points": [0.0, 0.0, 1.0, 1.0]}, "unsupported_shape"),
    ],
)
def test_a_mask_of_datumaro_that_cannot_be_drawn_is_named(
    shape: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    sound = {"type": "bbox", "bbox": [1, 1, 2, 2]}
    assert reasons(datumaro(tmp_path, sound, shape)) == {reason: False}


def test_an_empty_mask_of_datumaro_hides_nothing(tmp_path: Path) -> None:
    empty = {"type": "mask", "rle": {"size": [4, 6], "counts": [24]}}
    sound = {"type": "bbox", "bbox": [1, 1, 2, 2]}
    assert reasons(datumaro(tmp_path, sound, empty)) == {"box_without_area": True}


@pytest.mark.parametrize("form", [Format.CVAT, Format.DATUMARO])
@pytest.mark.parametrize("unusable", [rle(EMPTY), rle(np.ones((8, 12), np.uint8))])
def test_a_mask_that_is_empty_or_of_another_size_is_counted_and_its_box_goes_out(
    form: Format, unusable: Rle
) -> None:
    export = EXPORTERS[form]([frame("a", width=6, height=4, annotations=(annotation(unusable),))])

    assert export.losses == {"mask": 1}
    (content,) = export.files.values()
    assert b"rle" not in content


@pytest.mark.parametrize("form", [Format.CVAT, Format.DATUMARO])
def test_a_mask_that_no_import_would_draw_does_not_go_out(form: Format) -> None:
    width, height = 2**14, 2**14
    runs = {"counts": [0, 1, width * height - 1], "size": [height, width]}
    counts = coco_mask.frPyObjects(runs, height, width)["counts"].decode()
    large = annotation(Rle(size=(height, width), counts=counts))

    export = EXPORTERS[form]([frame("a", width=width, height=height, annotations=(large,))])

    assert export.losses == {"mask": 1}


def test_an_edited_mask_is_no_longer_what_was_sent(tmp_path: Path) -> None:
    before = annotation(rle(RING), area=8.0)
    sent = Manifest({"a": NamedFrame(FrameId("a"), SIZE, (before,))})
    filled = RING.copy()
    filled[1, 1] = 1
    file = tmp_path / "annotations.xml"
    says = ("crowd", "ignore", "mask")

    def back(drawn: NDArray[np.uint8]) -> Annotation:
        now = frame("a", width=6, height=4, annotations=(annotation(rle(drawn)),))
        file.write_bytes(to_cvat([now]).files["annotations.xml"])
        (found,) = truths(restored(read_cvat(file, sent), sent, says))["a"]
        return found

    assert back(RING) == before
    edited = back(filled)
    assert (edited.mask, edited.area, edited.bbox) == (rle(filled), None, (0, 0, 3, 3))


@pytest.mark.parametrize("unsent", [rle(EMPTY), rle(np.ones((8, 12), np.uint8)), rle(RING)])
def test_a_box_that_comes_back_keeps_the_mask_that_was_not_sent(
    unsent: Rle, tmp_path: Path
) -> None:
    """Earlier versions exported boxes alone, and CVAT's tasks may be older than this one."""
    before = annotation(unsent, area=8.0)
    sent = Manifest({"a": NamedFrame(FrameId("a"), SIZE, (before,))})
    cvat(tmp_path, '<box label="stop sign" xtl="0.5" ytl="0.5" xbr="3.5" ybr="3.5"></box>')

    found = restored(read_cvat(tmp_path / "annotations.xml", sent), sent, ("crowd", "mask"))

    assert truths(found)["a"] == [before]
