"""What annotation tools send back: whole, unfinished, disagreeing, broken."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.annotation.cvat.jobs import read_cvat_jobs
from services.annotation.cvat.server import JobFrame, Shape
from services.contracts.events import Annotation
from services.contracts.identity import FrameId
from services.formats.corrections import corrections_of
from services.formats.items import Dataset, Disputed, FrameItem, Item, Rejection
from services.formats.readers.cvat import read_cvat
from services.formats.readers.label_studio import read_label_studio
from services.formats.readers.restored import restored
from services.formats.readers.returned import Manifest, NamedFrame
from services.formats.readers.yolo import read_yolo
from services.formats.writers.cvat import to_cvat
from services.formats.writers.format_names import Format
from services.formats.writers.formats import manifest
from services.formats.writers.frames import Export, ExportFrame
from services.formats.writers.label_studio import to_label_studio
from services.formats.writers.yolo import to_yolo
from tests.fakes.frames import InMemoryFrameStore
from tests.unit.ingest.test_exporters import (
    FRAMES,
    PLAIN,
    PROPOSAL,
    STOP,
    contents_of,
    frame,
    near,
    truths,
    write,
)

SENT = FRAMES[:2]


def send(export: Export, folder: Path) -> Manifest:
    write({**export.files, "manifest.json": manifest(export)}, folder)
    return Manifest.read(folder / "manifest.json")


def through_cvat(frames: list[ExportFrame], folder: Path) -> Dataset:
    sent = send(to_cvat(frames), folder)
    return read_cvat(folder / "annotations.xml", sent)


def through_label_studio(frames: list[ExportFrame], folder: Path) -> Dataset:
    send(to_label_studio(frames), folder)
    return read_label_studio(folder / "tasks.json")


def through_yolo(frames: list[ExportFrame], folder: Path) -> Dataset:
    return read_yolo(folder, send(to_yolo(frames), folder))


Way = Callable[[list[ExportFrame], Path], Dataset]
WAYS = {
    Format.CVAT: through_cvat,
    Format.LABEL_STUDIO: through_label_studio,
    Format.YOLO: through_yolo,
}


def one(dataset: Dataset) -> Item:
    """The one frame of a data set, with all that was said of it."""
    (item,) = asyncio.run(corrections_of(dataset.items, InMemoryFrameStore()))
    return item


def reasons(dataset: Dataset) -> list[str]:
    return [item.reason for item in dataset.items if isinstance(item, Rejection)]


@pytest.mark.parametrize("form", WAYS)
def test_what_comes_back_unchanged_says_the_same_of_the_same_frames(
    form: Format, tmp_path: Path
) -> None:
    back = truths(WAYS[form](SENT, tmp_path))

    assert sorted(back) == [export_frame.frame_id for export_frame in SENT]
    assert contents_of(back[SENT[0].frame_id]) == near(PLAIN)
    assert back[SENT[1].frame_id] == []


@pytest.mark.parametrize("form", WAYS)
def test_the_image_size_comes_back_so_that_boxes_can_be_checked(
    form: Format, tmp_path: Path
) -> None:
    (item,) = list(WAYS[form](SENT[:1], tmp_path).items)

    assert isinstance(item, FrameItem)
    assert item.size == (640, 360)


def test_a_proposal_in_cvat_that_nobody_decided_leaves_its_frame_unfinished(
    tmp_path: Path,
) -> None:
    dataset = through_cvat([frame("a", proposals=(PROPOSAL,)), frame("b")], tmp_path)

    assert reasons(dataset) == ["unfinished_task"]


def test_a_confirmed_proposal_in_cvat_is_ground_truth(tmp_path: Path) -> None:
    sent = send(to_cvat([frame("a", annotations=(), proposals=(PROPOSAL,))]), tmp_path)
    file = tmp_path / "annotations.xml"
    file.write_text(file.read_text().replace('"proposal">true<', '"proposal">false<'))

    assert contents_of(truths(read_cvat(file, sent))["a"]) == near([PROPOSAL])


def test_the_name_that_cvat_gives_an_image_may_have_folders_and_another_ending(
    tmp_path: Path,
) -> None:
    sent = send(to_cvat([frame("a")]), tmp_path)
    file = tmp_path / "annotations.xml"
    file.write_text(file.read_text().replace('"a.jpg"', '"upload/7/a.png"'))

    assert list(truths(read_cvat(file, sent))) == ["a"]


def test_an_image_that_was_never_sent_is_named(tmp_path: Path) -> None:
    sent = send(to_cvat([frame("a")]), tmp_path)
    file = tmp_path / "annotations.xml"
    file.write_text(file.read_text().replace('"a.jpg"', '"other.jpg"'))

    assert reasons(read_cvat(file, sent)) == ["unknown_image"]


def task(*annotations: dict[str, Any]) -> dict[str, Any]:
    content = json.loads(to_label_studio([frame("a")]).files["tasks.json"])
    given: dict[str, Any] = {**content[0], "annotations": list(annotations)}
    return given


def drawn(x: float = 10.0, label: str = "stop sign", **changes: Any) -> dict[str, Any]:
    value = {"x": x, "y": 10.0, "width": 5.0, "height": 5.0, "rectanglelabels": [label]}
    result = {
        "type": "rectanglelabels",
        "original_width": 640,
        "original_height": 360,
        "value": {**value, **changes},
    }
    return {"result": [result], "was_cancelled": False}


@pytest.mark.parametrize("other", [drawn(x=20.0), drawn(label="yield")])
def test_annotators_who_disagree_are_both_kept(other: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps([task(drawn(), other)]))

    disputed = one(read_label_studio(file))

    assert isinstance(disputed, Disputed)
    assert len({str(version.annotations) for version in disputed.versions}) == 2


def test_a_frame_that_is_disputed_has_come_back_and_what_was_not_moved_is_exact(
    tmp_path: Path,
) -> None:
    before = Annotation(category=STOP, bbox=(64.0, 36.0, 32.0, 18.0), area=7.0)
    sent = send(to_label_studio([frame("a", annotations=(before,))]), tmp_path)
    file = tmp_path / "export.json"
    file.write_text(json.dumps([task(drawn(), drawn(x=20.0))]))

    dataset = restored(read_label_studio(file), sent, ("crowd", "ignore"))
    disputed = one(dataset)

    assert isinstance(disputed, Disputed)
    first, second = (
        [annotation.value for annotation in one.annotations or ()] for one in disputed.versions
    )
    assert first == [before]
    assert second[0].area is None
    assert dataset.left == set()


def test_annotators_of_two_jobs_in_cvat_who_disagree_are_both_kept() -> None:
    sent = Manifest(
        {"a": NamedFrame(FrameId("a"), (640, 360)), "b": NamedFrame(FrameId("b"), (640, 360))}
    )

    def job_frame(job: int, name: str, annotator: str, right: float) -> JobFrame:
        box = [10.0, 20.0, right, 40.0]
        shape = Shape(label="stop sign", type="rectangle", points=box, rotation=0.0, attributes={})
        size = (640, 360)
        return JobFrame(job=job, name=f"{name}.jpg", size=size, annotator=annotator, shapes=[shape])

    dataset = read_cvat_jobs(
        [
            job_frame(1, "a", "ana", 30.0),
            job_frame(1, "b", "ana", 30.0),
            job_frame(2, "a", "ben", 50.0),
            job_frame(2, "b", "ben", 30.2),
        ],
        sent,
    )
    disputed, agreed = asyncio.run(corrections_of(dataset.items, InMemoryFrameStore()))

    assert isinstance(disputed, Disputed)
    assert [version.annotated_by for version in disputed.versions] == ["ana", "ben"]
    assert disputed.location == "cvat job 1: a.jpg, cvat job 2: a.jpg"
    assert isinstance(agreed, FrameItem)


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ([], "unfinished_task"),
        ([{"result": [], "was_cancelled": True}], "skipped_task"),
        ([drawn(rotation="30°")], "rotated_box"),
        ([drawn(label="")], "unknown_category"),
        ([{"result": [{"type": "brushlabels"}]}], "unsupported_shape"),
    ],
)
def test_a_task_that_cannot_be_taken_is_named_and_says_nothing(
    annotations: list[dict[str, Any]], reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps([task(*annotations)]))

    assert reasons(read_label_studio(file)) == [reason]


def test_annotators_who_agree_to_half_a_pixel_agree(tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    skipped = {"result": [], "was_cancelled": True}
    file.write_text(json.dumps([task(drawn(), skipped, drawn(x=10.05))]))

    assert isinstance(one(read_label_studio(file)), FrameItem)


def test_a_yolo_class_without_a_name_is_named(tmp_path: Path) -> None:
    sent = send(to_yolo([frame("a")]), tmp_path)
    (tmp_path / "labels/a.txt").write_text("7 .5 .5 .1 .1\n")

    assert reasons(read_yolo(tmp_path, sent)) == ["unknown_category"]
