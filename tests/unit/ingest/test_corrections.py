"""Corrections of rotated boxes, of frames that came twice, and of pictures of another size."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.annotation.cvat.jobs import read_cvat_jobs
from services.annotation.cvat.server import JobFrame, Shape
from services.contracts.events import Annotation, FrameAnnotated
from services.contracts.identity import Box, Category, FrameId
from services.formats.adjustments import Adjustment
from services.formats.corrections import corrections_of, stored_sizes
from services.formats.items import Dataset, Disputed, FrameItem, Item, Rejection
from services.formats.readers.coco import read_coco
from services.formats.readers.cvat import read_cvat
from services.formats.readers.datumaro import read_datumaro
from services.formats.readers.label_studio import read_label_studio
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest, NamedFrame
from services.formats.readers.voc import read_voc
from services.formats.readers.yolo import read_yolo
from services.ground_truth.drafts import entry_of
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from tests import samples
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.unit.ingest.datasets import write_json
from tests.unit.ingest.parts import parts_in_memory

A = FrameId("drive:a")
SIZE = (320, 240)
SENT = Manifest({"a": NamedFrame(A, SIZE)})
SIGN: Box = (130.0, 27.0, 44.0, 25.0)
LIGHT: Box = (56.0, 112.0, 50.0, 35.0)


def annotation(bbox: Box, label: str = "sign") -> Annotation:
    return Annotation(category=Category(label), bbox=bbox)


def cvat(
    *images: Sequence[Box], size: tuple[int, int] = SIZE, rotation: str = "", other: str = ""
) -> str:
    """CVAT's XML with one `<image>` called a.jpg for each list of boxes."""
    text = ""
    for at, boxes in enumerate(images):
        text += f'<image name="a.jpg" subset="s{at}" width="{size[0]}" height="{size[1]}">{other}'
        for x, y, width, height in boxes:
            sides = f'xtl="{x}" ytl="{y}" xbr="{x + width}" ybr="{y + height}"'
            text += f'<box label="sign" {sides} {rotation}/>'
        text += "</image>"
    return f"<annotations><version>1.1</version>{text}</annotations>"


def through_cvat(folder: Path, text: str) -> Dataset:
    (folder / "annotations.xml").write_text(text)
    return restored(read_cvat(folder / "annotations.xml", SENT), SENT, ("crowd", "ignore"))


def result(bbox: Box, size: tuple[int, int] = SIZE, **value: Any) -> dict[str, Any]:
    """A rectangle of Label Studio, which is in percent of the picture."""
    x, y, width, height = bbox
    given = {
        "x": x / size[0] * 100,
        "y": y / size[1] * 100,
        "width": width / size[0] * 100,
        "height": height / size[1] * 100,
        "rectanglelabels": ["sign"],
    }
    return {
        "type": "rectanglelabels",
        "original_width": size[0],
        "original_height": size[1],
        "value": given | value,
    }


def tasks(*results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"data": {"frame_id": A}, "annotations": [{"result": result, "was_cancelled": False}]}
        for result in results
    ]


def through_label_studio(folder: Path, content: object) -> Dataset:
    return read_label_studio(write_json(folder / "export.json", content))


def job_frame(bbox: Box, size: tuple[int, int] = SIZE, rotation: float = 0.0) -> JobFrame:
    x, y, width, height = bbox
    shape = Shape(
        label="sign",
        type="rectangle",
        points=[x, y, x + width, y + height],
        rotation=rotation,
        attributes={},
    )
    return JobFrame(job=1, name="a.jpg", size=size, annotator="ana", shapes=[shape])


def datumaro(*items: Sequence[Box], size: tuple[int, int] = SIZE, **attributes: Any) -> Any:
    return {
        "categories": {"label": {"labels": [{"name": "sign"}]}},
        "items": [
            {
                "id": "a",
                "image": {"path": "a.jpg", "size": [size[1], size[0]]},
                "annotations": [
                    {"type": "bbox", "label_id": 0, "bbox": list(box), "attributes": attributes}
                    for box in boxes
                ],
            }
            for boxes in items
        ],
    }


def through_datumaro(folder: Path, content: object) -> Dataset:
    file = write_json(folder / "default.json", content)
    return restored(read_datumaro(file, SENT), SENT, ("crowd", "ignore"))


async def one(dataset: Dataset, frames: InMemoryFrameStore | None = None) -> Item:
    (item,) = await corrections_of(dataset.items, frames or InMemoryFrameStore())
    return item


def boxes(item: Item) -> list[Any]:
    assert isinstance(item, FrameItem)
    return [pytest.approx(annotation.value.bbox) for annotation in item.annotations or ()]


# Rotation


async def test_cvat_rotates_about_the_centre_and_the_upright_box_is_taken(tmp_path: Path) -> None:
    turned = (34.0, 145.0, 47.0, 45.0)
    item = await one(through_cvat(tmp_path, cvat([turned], rotation='rotation="90.00"')))

    assert boxes(item) == [(35.0, 144.0, 45.0, 47.0)]
    assert isinstance(item, FrameItem)
    assert item.adjustments == {Adjustment.ROTATED_BOX: 1}


async def test_a_rotation_of_zero_is_none(tmp_path: Path) -> None:
    item = await one(through_cvat(tmp_path, cvat([SIGN], rotation='rotation="0.00"')))

    assert boxes(item) == [SIGN]
    assert isinstance(item, FrameItem)
    assert not item.adjustments


async def test_the_upright_box_of_a_cvat_job_is_taken() -> None:
    item = await one(read_cvat_jobs([job_frame((10.0, 10.0, 20.0, 10.0), rotation=270.0)], SENT))
    assert boxes(item) == [(15.0, 5.0, 10.0, 20.0)]


async def test_label_studio_rotates_about_the_top_left_corner(tmp_path: Path) -> None:
    drawn = result((100.0, 50.0, 40.0, 20.0), rotation=90)
    item = await one(through_label_studio(tmp_path, tasks([drawn])))

    assert boxes(item) == [(80.0, 50.0, 20.0, 40.0)]
    assert isinstance(item, FrameItem)
    assert item.adjustments == {Adjustment.ROTATED_BOX: 1}


async def test_half_a_turn_about_a_corner_moves_a_box(tmp_path: Path) -> None:
    drawn = result((100.0, 50.0, 40.0, 20.0), rotation=180)
    assert boxes(await one(through_label_studio(tmp_path, tasks([drawn])))) == [
        (60.0, 30.0, 40.0, 20.0)
    ]


async def test_datumaro_keeps_the_rotation_as_an_attribute(tmp_path: Path) -> None:
    item = await one(through_datumaro(tmp_path, datumaro([(10.0, 10.0, 20.0, 10.0)], rotation=90)))
    assert boxes(item) == [(15.0, 5.0, 10.0, 20.0)]


@pytest.mark.parametrize("rotation", ["north", "nan"])
async def test_a_rotation_that_is_no_angle_is_named(rotation: str, tmp_path: Path) -> None:
    dataset = through_cvat(tmp_path, cvat([SIGN], rotation=f'rotation="{rotation}"'))
    refused = (item for item in dataset.items if isinstance(item, Rejection))
    assert next(refused).reason in {"invalid_box", "rotated_box"}


async def test_an_image_that_was_rotated_in_the_tool_is_named(tmp_path: Path) -> None:
    content = tasks([{**result(SIGN), "image_rotation": 90}])
    (refused, item) = through_label_studio(tmp_path, content).items
    assert isinstance(refused, Rejection)
    assert isinstance(item, FrameItem)
    assert (refused.reason, item.complete) == ("rotated_image", False)


# One frame, several times


def coco_twice(folder: Path, *versions: Sequence[Box]) -> Dataset:
    content = {
        "images": [{"id": at, "file_name": "a.jpg"} for at in range(len(versions))],
        "categories": [{"id": 1, "name": "sign"}],
        "annotations": [
            {"image_id": at, "category_id": 1, "bbox": list(box)}
            for at, boxes in enumerate(versions)
            for box in boxes
        ],
    }
    return read_coco(write_json(folder / "gt.json", content), images=None, sent=SENT)


def yolo_twice(folder: Path, *versions: Sequence[Box]) -> Dataset:
    (folder / "data.yaml").write_text("names: [sign]\n")
    for at, boxes in enumerate(versions):
        lines = [
            f"0 {(x + w / 2) / SIZE[0]} {(y + h / 2) / SIZE[1]} {w / SIZE[0]} {h / SIZE[1]}\n"
            for x, y, w, h in boxes
        ]
        (folder / f"labels/{at}").mkdir(parents=True)
        (folder / f"labels/{at}/a.txt").write_text("".join(lines))
    return read_yolo(folder, SENT)


def voc_twice(folder: Path, *versions: Sequence[Box]) -> Dataset:
    for at, boxes in enumerate(versions):
        objects = "".join(
            f"<object><name>sign</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
            f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
            for x, y, w, h in boxes
        )
        (folder / f"{at}").mkdir()
        (folder / f"{at}/a.xml").write_text(f"<annotation>{objects}</annotation>")
    return read_voc(folder, images=None, sent=SENT)


def label_studio_twice(folder: Path, *versions: Sequence[Box]) -> Dataset:
    return through_label_studio(
        folder, tasks(*([result(b) for b in version] for version in versions))
    )


def cvat_twice(folder: Path, *versions: Sequence[Box]) -> Dataset:
    return through_cvat(folder, cvat(*versions))


def datumaro_twice(folder: Path, *versions: Sequence[Box]) -> Dataset:
    return through_datumaro(folder, datumaro(*versions))


TWICE = [coco_twice, voc_twice, yolo_twice, label_studio_twice, cvat_twice, datumaro_twice]


@pytest.mark.parametrize("through", TWICE)
async def test_a_frame_that_is_there_twice_and_differs_is_asked_about(
    through: Any, tmp_path: Path
) -> None:
    item = await one(through(tmp_path, [SIGN, LIGHT], [SIGN]))

    assert isinstance(item, Disputed)
    assert [len(version.annotations or ()) for version in item.versions] == [2, 1]
    assert all(version.location in item.location for version in item.versions)


@pytest.mark.parametrize("through", TWICE)
async def test_a_frame_that_is_there_twice_and_the_same_counts_once(
    through: Any, tmp_path: Path
) -> None:
    assert len(boxes(await one(through(tmp_path, [SIGN, LIGHT], [LIGHT, SIGN])))) == 2


async def test_a_version_of_which_an_object_is_refused_refuses_its_frame(tmp_path: Path) -> None:
    content = tasks([result(SIGN)], [result(SIGN), {"type": "brushlabels", "value": {}}])
    truths, rejected = await published(through_label_studio(tmp_path, content))

    assert truths == []
    assert rejected == {"unsupported_shape": 1, "incomplete_frame": 1}


async def test_a_version_that_nobody_finished_says_nothing(tmp_path: Path) -> None:
    unsubmitted = {"data": {"frame_id": A}, "annotations": []}
    dataset = through_label_studio(tmp_path, [*tasks([result(SIGN)]), unsubmitted])
    (truth,), rejected = await published(dataset)

    assert len(truth.annotations) == 1
    assert rejected == {"unfinished_task": 1}


# A picture of another size


async def test_boxes_for_a_picture_of_twice_the_size_are_scaled_to_the_manifest(
    tmp_path: Path,
) -> None:
    doubled = [tuple(2 * side for side in SIGN)]
    item = await one(through_cvat(tmp_path, cvat(doubled, size=(640, 480))))  # type: ignore[arg-type]  # four sides

    assert boxes(item) == [SIGN]
    assert isinstance(item, FrameItem)
    assert item.adjustments == {Adjustment.SCALED: 1}


@pytest.mark.parametrize("through", ["label_studio", "datumaro", "job"])
async def test_a_picture_that_is_stored_says_its_size_where_no_manifest_does(
    through: str, tmp_path: Path
) -> None:
    frames = await stored(SIZE)
    x, y, width, height = (2 * side for side in SIGN)
    doubled, size = (x, y, width, height), (640, 480)
    dataset = {
        "label_studio": lambda: through_label_studio(tmp_path, tasks([result(doubled, size)])),
        "job": lambda: read_cvat_jobs([job_frame(doubled, size)], SENT),
        "datumaro": lambda: read_datumaro(
            write_json(tmp_path / "d.json", datumaro([doubled], size=size)), SENT
        ),
    }[through]()

    assert boxes(await one(dataset, frames)) == [SIGN]


async def test_versions_on_pictures_of_different_sizes_agree_where_they_say_the_same(
    tmp_path: Path,
) -> None:
    x, y, width, height = (2 * side for side in SIGN)
    content = tasks([result(SIGN)], [result((x, y, width, height), (640, 480))])
    item = await one(through_label_studio(tmp_path, content), await stored(SIZE))
    assert boxes(item) == [SIGN]


FRACTIONS: Box = (0.2, 0.3, 0.5, 0.4)
SMALL = (80, 60)
"""Four times as large, the fractions would be boxes of two pixels."""


def coco_of_small(folder: Path) -> Dataset:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": SMALL[0], "height": SMALL[1]}],
        "categories": [{"id": 1, "name": "sign"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": list(FRACTIONS)}],
    }
    return read_coco(write_json(folder / "gt.json", content), images=None, sent=SENT)


@pytest.mark.parametrize(
    "through",
    [
        coco_of_small,
        lambda folder: through_cvat(folder, cvat([FRACTIONS], size=SMALL)),
        lambda folder: through_datumaro(folder, datumaro([FRACTIONS], size=SMALL)),
        lambda _: read_cvat_jobs([job_frame(FRACTIONS, SMALL)], SENT),
    ],
    ids=["coco", "cvat", "datumaro", "job"],
)
async def test_a_correction_in_fractions_of_a_smaller_picture_is_refused(
    through: Callable[[Path], Dataset], tmp_path: Path
) -> None:
    truths, rejected = await published(through(tmp_path))

    assert truths == []
    assert rejected == {"box_in_fractions": 1, "incomplete_frame": 1}


async def test_an_import_in_fractions_of_a_smaller_picture_is_refused(tmp_path: Path) -> None:
    (truth,), rejected = await published(coco_of_small(tmp_path), Source.IMPORT)

    assert (truth.annotations, truth.complete) == ((), False)
    assert rejected == {"box_in_fractions": 1}


async def test_a_picture_of_another_shape_refuses_its_frame_by_name(tmp_path: Path) -> None:
    refused = await one(through_cvat(tmp_path, cvat([SIGN], size=(640, 640))))
    assert isinstance(refused, Rejection)
    assert (refused.reason, refused.whole_frame) == ("size_mismatch", True)
    assert "640 x 640" in refused.detail


async def test_a_frame_that_is_not_stored_yet_has_no_size() -> None:
    assert await stored_sizes([A], InMemoryFrameStore()) == {}


# What has no shape, or hides nothing


async def test_what_has_no_shape_is_left_out_and_counted(tmp_path: Path) -> None:
    results = [
        result(SIGN),
        {"type": "choices", "value": {"choices": ["rain"]}},
        {"type": "textarea", "value": {"x": 1, "y": 2, "text": ["stop"]}},
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
    ]
    item = await one(through_label_studio(tmp_path, tasks(results)))

    assert boxes(item) == [SIGN]
    assert isinstance(item, FrameItem)
    assert item.complete
    assert item.adjustments == {Adjustment.NO_SHAPE: 3}


async def test_a_tag_in_cvat_is_left_out(tmp_path: Path) -> None:
    item = await one(through_cvat(tmp_path, cvat([SIGN], other='<tag label="rain"/>')))
    assert boxes(item) == [SIGN]


async def test_a_box_without_area_or_outside_is_named_and_its_frame_is_taken(
    tmp_path: Path,
) -> None:
    text = cvat([SIGN, (10.0, 10.0, 0.0, 5.0), (400.0, 10.0, 5.0, 5.0)])
    (truth,), rejected = await published(through_cvat(tmp_path, text))

    assert [annotation.bbox for annotation in truth.annotations] == [SIGN]
    assert rejected == {"box_without_area": 1, "box_outside_image": 1}


@pytest.mark.parametrize("bbox", [(10.0, 10.0, 0.0, 5.0), (9000.0, 9000.0, 50.0, 50.0)])
async def test_a_frame_of_which_every_box_is_refused_is_not_taken_as_empty(
    bbox: Box, tmp_path: Path
) -> None:
    truths, rejected = await published(through_cvat(tmp_path, cvat([bbox])))
    assert truths == []
    assert sum(rejected.values()) >= 1


async def test_exchanged_corners_are_sorted(tmp_path: Path) -> None:
    x, y, width, height = SIGN
    item = await one(through_cvat(tmp_path, cvat([(x + width, y + height, -width, -height)])))
    assert boxes(item) == [SIGN]


async def stored(size: tuple[int, int]) -> InMemoryFrameStore:
    captured = samples.frame_captured(A)
    image = captured.image.model_copy(update={"width": size[0], "height": size[1]})
    frames = InMemoryFrameStore()
    await frames.record([captured.model_copy(update={"image": image})])
    return frames


async def published(
    dataset: Dataset, source: Source = Source.REANNOTATION
) -> tuple[list[FrameAnnotated], dict[str, int]]:
    """The ground truth that is published of frame A, and what is refused by reason."""
    outbox, ledger = InMemoryOutbox(), InMemoryLedger()
    seen = [samples.frame_captured(A)]
    await ledger.assign([entry_of(captured) for captured in seen])
    await ledger.confirm([entry_of(captured) for captured in seen])
    parts = replace(parts_in_memory(), outbox=outbox, ledger=ledger, frames=await stored(SIZE))
    summary = await publish_dataset(dataset.items, parts, source=source)
    truths = [truth for truth in outbox.published if isinstance(truth, FrameAnnotated)]
    return truths, dict(summary.rejected)
