"""Read YOLO text files: one per frame, with boxes as fractions of the image size."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.readers.detections.class_names import ClassNames, yaml_names
from services.formats.readers.detections.yolo_keypoints import keypoint_numbers, without_keypoints
from services.formats.readers.folders import text_of, visible_files
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)

_BOX = 4
_NAMES = ("data.yaml", "dataset.yaml", "obj.names", "classes.txt")
"""Files with the names of the classes; the first that exists is used."""
_MIN_SEGMENT_NUMBERS = 6
_NOT_LABELS = frozenset({"classes.txt", "train.txt", "valid.txt", "val.txt", "test.txt"})


def read_yolo(folder: Path, sent: NamedFrames) -> Dataset:
    """Open the text files of a folder that also holds the names of the classes.

    They are in `labels/`, in `train/labels/` and the like (Roboflow), or next to the images
    (Darknet). A frame without a file was not returned; an empty file means an empty frame.
    Segments are read with the boxes around them and their masks. Where the data set declares
    keypoints, no line is a segment: the box comes first, and the keypoints are left out.

    Raises
    ------
    InvalidRecord
        A file is unreadable.
    """
    listed = names_file(folder)
    if listed is None:
        raise InvalidRecord(
            f"{folder} holds no data.yaml: name the folder that holds it, and `labels/`",
            reason="unreadable_file",
        )
    names, keypoints = ClassNames.read(listed), keypoint_numbers(listed)
    files = {str(file): file for file in label_files(folder)}
    if not files and len(sent):
        raise InvalidRecord(
            f"{folder} holds no labels/*.txt, nor train/labels/*.txt and the like: name the folder"
            " that holds `data.yaml` and `labels/`",
            reason="unreadable_file",
        )
    sources = [Located[object](file, place) for place, file in files.items()]

    def parse(source: Located[object]) -> Sequence[Version]:
        sent_frame = sent.of(image_of(files[source.location].relative_to(folder)))
        text = text_of(files[source.location])
        lines = [line for line in text.splitlines() if line.strip()]
        frame = ReturnedFrame(sent_frame.frame_id, sent_frame.size, source.location)
        return [version_of(frame, lines, partial(_drawn, names, keypoints, sent_frame.size))]

    return Dataset(folder.name, len(sources), returned(sources, parse))


def names_file(folder: Path) -> Path | None:
    """The file with the names of the classes; of other names, the only YAML file that has `names`.

    Ultralytics' own data sets call it like themselves, as `coco8.yaml`.
    """
    usual = [folder / name for name in _NAMES if (folder / name).is_file()]
    others = () if usual else (file for file in folder.glob("*.yaml") if _has_names(file))
    found = usual[:1] or list(others)
    return found[0] if len(found) == 1 else None


def _has_names(file: Path) -> bool:
    try:
        return bool(yaml_names(file))
    except InvalidRecord:
        return False


def label_files(folder: Path) -> list[Path]:
    """The text files in folders `labels`, or else all text files next to images."""
    found = [
        file
        for file in visible_files(folder, [".txt"])
        if file.name not in _NOT_LABELS and not file.name.startswith("README")
    ]
    return [file for file in found if "labels" in file.relative_to(folder).parts[:-1]] or [
        file for file in found if file.parent != folder
    ]


def image_of(label: Path) -> str:
    """The path of a text file's image, as Ultralytics derives it: in `images` for `labels`."""
    return "/".join("images" if part == "labels" else part for part in label.parts)


def _drawn(names: ClassNames, keypoints: int, size: Size, line: str) -> DrawnBox:
    label, *values = line.split()
    try:
        numbers = [float(part) for part in values]
    except ValueError:
        raise InvalidRecord(f"{line!r:.80} holds no numbers", reason="invalid_box") from None
    name = names.record_of(label)["category_name"]
    wide, high = size
    if not keypoints and len(numbers) >= _MIN_SEGMENT_NUMBERS and len(numbers) % 2 == 0:
        corners = zip(numbers[::2], numbers[1::2], strict=True)
        return DrawnBox.polygon(name, ((x * wide, y * high) for x, y in corners))
    if len(numbers) not in {_BOX, _BOX + keypoints}:
        raise InvalidRecord(f"{line!r:.80} is not a box", reason="unsupported_shape")
    x, y, width, height = without_keypoints(numbers, keypoints)
    left, top = (x - width / 2) * wide, (y - height / 2) * high
    corners_in_pixels = (left, top, left + width * wide, top + height * high)
    return DrawnBox(name, corners_in_pixels, has_keypoints=len(numbers) > _BOX)
