"""Read YOLO text files: one per frame, with boxes as fractions of the image size."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.readers.detections.class_names import yaml_names
from services.formats.readers.returned import Drawn, Frame, Manifest, Version, returned, version_of

_FIELDS = 5
_HIDDEN = re.compile(r"\.|__MACOSX$")


def read_yolo(folder: Path, sent: Manifest) -> Dataset:
    """Open the text files in `labels/`, with category names from `data.yaml` in the same folder.

    Also reads the layout of Roboflow and others (`train/labels/` and so on). A frame without a
    file was not returned; an empty file means an empty frame.

    Raises
    ------
    InvalidRecord
        A file is unreadable.
    """
    if not (folder / "data.yaml").is_file():
        raise InvalidRecord(
            f"{folder} holds no data.yaml: name the folder that holds it, and `labels/`",
            reason="unreadable_file",
        )
    names = yaml_names(folder / "data.yaml")
    files = {str(file): file for file in sorted(_label_files(folder))}
    if not files and sent.frames:
        raise InvalidRecord(
            f"{folder} holds no labels/*.txt, nor train/labels/*.txt and the like: name the folder"
            " that holds `data.yaml` and `labels/`",
            reason="unreadable_file",
        )
    sources = [
        # Editors on Windows may write a byte order mark.
        Located[object](file.read_text("utf-8-sig", errors="replace"), place)
        for place, file in files.items()
    ]

    def parse(source: Located[object]) -> Sequence[Version]:
        sent_frame = sent.of(files[source.location].name)
        lines = [line for line in str(source.value).splitlines() if line.strip()]
        frame = Frame(sent_frame.frame_id, sent_frame.size, source.location)
        return [version_of(frame, lines, partial(_drawn, names, sent_frame.size))]

    return Dataset(folder.name, len(sources), returned(sources, parse))


def _label_files(folder: Path) -> Iterator[Path]:
    """Text files below a folder `labels`, without hidden ones, which operating systems create."""
    for labels in (folder / "labels", *sorted(folder.glob("*/labels"))):
        for file in labels.rglob("*.txt"):
            if not any(_HIDDEN.match(part) for part in file.relative_to(folder).parts):
                yield file


def _drawn(names: dict[str, str], size: Size, line: str) -> Drawn:
    parts = line.split()
    if len(parts) != _FIELDS:
        raise InvalidRecord(f"{line!r:.80} is not a box", reason="unsupported_shape")
    try:
        x, y, width, height = (float(part) for part in parts[1:])
    except ValueError:
        raise InvalidRecord(f"{line!r:.80} holds no numbers", reason="invalid_box") from None
    name = names.get(parts[0])
    if name is None:
        raise InvalidRecord(f"class {parts[0]!r:.20} has no name", reason="unknown_category")
    wide, high = size
    left, top = (x - width / 2) * wide, (y - height / 2) * high
    return Drawn(name, (left, top, left + width * wide, top + height * high))
