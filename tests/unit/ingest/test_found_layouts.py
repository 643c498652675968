"""Which files of a folder are found, however many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.formats.layout_names import LayoutName
from services.formats.readers.layouts import found_layout

MANY = 60
"""More than are opened of a folder to detect its format."""
KITTI = "Car 0 0 0 1 2 30 40 1 1 1 1 1 1 1\n"
SCALABEL = '[{"name": "a.jpg", "labels": []}]'
LABELME = '{"shapes": [], "imagePath": "a.jpg"}'
OPENIMAGES = "ImageID,LabelName,IsGroupOf,XMin,XMax,YMin,YMax\n"


def write(folder: Path, name: Callable[[int], str], text: str, count: int = MANY) -> None:
    for number in range(count):
        file = folder / name(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    ("layout", "ending", "text"),
    [
        (LayoutName.VOC, "xml", "<annotation/>"),
        (LayoutName.KITTI, "txt", KITTI),
        (LayoutName.LABELME, "json", LABELME),
    ],
)
def test_a_folder_is_read_whose_files_come_after_many_others(
    tmp_path: Path, layout: LayoutName, ending: str, text: str
) -> None:
    write(tmp_path, lambda number: f"train/{number}.{ending}", text)
    write(tmp_path, lambda number: f"valid/{number}.{ending}", text, count=1)

    found = found_layout(tmp_path)

    assert found.name is layout
    assert found.annotations == [tmp_path]


def test_files_of_another_kind_hide_none(tmp_path: Path) -> None:
    write(tmp_path, lambda number: f"calib/{number}.txt", "P0: 7.0 0.0\n")
    write(tmp_path, lambda number: f"label_2/{number}.txt", KITTI)

    assert found_layout(tmp_path).annotations == [tmp_path / "label_2"]


@pytest.mark.parametrize(
    ("layout", "ending", "text"),
    [
        (LayoutName.SCALABEL, "json", SCALABEL),
        (LayoutName.CVAT, "xml", "<annotations/>"),
        (LayoutName.OPENIMAGES, "csv", OPENIMAGES),
    ],
)
def test_every_file_of_a_data_set_of_many_is_found(
    tmp_path: Path, layout: LayoutName, ending: str, text: str
) -> None:
    write(tmp_path, lambda number: f"{number:03}.{ending}", text)
    other = tmp_path / f"zzz.{ending}"
    other.write_text("of another kind")

    found = found_layout(tmp_path)

    assert found.name is layout
    assert [file.name for file in found.annotations] == [f"{n:03}.{ending}" for n in range(MANY)]
    assert found.unread == ([other] if layout is LayoutName.SCALABEL else [])
