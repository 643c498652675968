"""A folder of images without ground truth."""

from pathlib import Path

import pytest

from services.formats.items import Detector, FrameItem, Rejection
from services.formats.readers.image_folder import Arrivals, Taken, listed, read_images
from tests.unit.ingest.datasets import write_images, write_json

RESULTS = [
    {"file_name": "b/1.jpg", "category_name": "stop sign", "bbox": [1, 2, 10, 10], "score": 0.5}
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "street"
    write_images(folder, "0.jpg", "a/1.jpg", "b/1.jpg", ".hidden/2.jpg")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_frames_are_the_images_and_nobody_has_annotated_them(folder: Path) -> None:
    dataset = read_images(folder, taken=Taken())
    items = [item for item in dataset.items if isinstance(item, FrameItem)]

    assert dataset.frames == 3
    assert [item.frame_id for item in items] == ["street:0.jpg", "street:a/1.jpg", "street:b/1.jpg"]
    assert {(item.vehicle_id, item.drive_id, item.annotations) for item in items} == {
        ("street", None, None)
    }
    assert [item.image for item in items] == [folder / name for name in listed(folder)]


@pytest.mark.parametrize(
    ("taken", "drives"),
    [
        (Taken(drive="d 1"), ["d%201", "d%201", "d%201"]),
        (Taken(drive_per_folder=True), [None, "a", "b"]),
    ],
)
def test_a_drive_is_the_folders_or_each_subfolders(
    folder: Path, taken: Taken, drives: list[str | None]
) -> None:
    items = [*read_images(folder, taken=taken).items]
    assert [item.drive_id for item in items if isinstance(item, FrameItem)] == drives


def test_results_are_of_the_images_that_they_name(folder: Path) -> None:
    predictions = write_json(folder.parent / "dt.json", RESULTS)
    dataset = read_images(
        folder, taken=Taken(vehicle="v"), predictions=predictions, detector=Detector("ods", "1")
    )
    items = {item.frame_id: item for item in dataset.items if isinstance(item, FrameItem)}

    assert {frame_id: item.detections and len(item.detections) for frame_id, item in items.items()}
    found = items["street:b/1.jpg"].detections  # type: ignore[index]
    assert found is not None
    assert [detection.value.category for detection in found] == ["stop sign"]


def test_a_link_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "secret.jpg").write_bytes(b"")
    (folder / "z.jpg").symlink_to(folder.parent / "secret.jpg")

    *frames, last = read_images(folder, taken=Taken()).items

    assert isinstance(last, Rejection)
    assert (last.reason, last.whole_frame) == ("path_outside_folder", True)
    assert len(frames) == 3


def test_an_image_has_arrived_once_it_stays_as_it_is(folder: Path) -> None:
    arrivals = Arrivals(folder)

    assert arrivals.look() == []
    (folder / "new.jpg").write_bytes(b"half")
    assert arrivals.look() == ["0.jpg", "a/1.jpg", "b/1.jpg"]
    (folder / "new.jpg").write_bytes(b"half and the rest")
    assert arrivals.look() == []
    assert arrivals.look() == ["new.jpg"]
    assert arrivals.look() == []


def test_an_image_that_is_moved_away_and_comes_again_arrives_again(folder: Path) -> None:
    arrivals = Arrivals(folder)
    (arrivals.look(), arrivals.look())
    moved = (folder / "0.jpg").rename(folder.parent / "0.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")

    assert arrivals.look() == []
    moved.rename(folder / "0.jpg")
    assert (arrivals.look(), arrivals.look()) == ([], ["0.jpg"])
