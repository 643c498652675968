"""YOLO's text files, come back: one a frame, boxes in shares of the image."""

import json
import re
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.ingest.importers.returned import Manifest, annotation, frame_of, returned
from services.ingest.items import Dataset, FrameItem, Located

_NAME = re.compile(r"^\s+(\d+):\s*(.+?)\s*$", re.MULTILINE)
_FIELDS = 5


def read_yolo(folder: Path, manifest: Path) -> Dataset:
    """Open `labels/*.txt` with the names of `data.yaml`, beside it.

    A frame without a file has not come back; an empty file says that nothing is there.

    Raises
    ------
    InvalidRecord
        A file cannot be read at all.
    """
    sent = Manifest.read(manifest)
    names = _names(folder / "data.yaml")
    files = {str(file): file for file in sorted((folder / "labels").glob("*.txt"))}
    sources = [
        Located[object](file.read_text(errors="replace"), place) for place, file in files.items()
    ]

    def parse(source: Located[object]) -> FrameItem:
        frame = sent.of(files[source.location].name)
        lines = [line for line in str(source.value).splitlines() if line.strip()]
        boxes = [_annotation(line, names, frame.size) for line in lines]
        return frame_of(frame, boxes, source.location)

    return Dataset(folder.name, len(sources), returned(sources, parse))


def _names(file: Path) -> dict[str, str]:
    try:
        text = file.read_text().partition("names:")[2]
    except OSError as exc:
        raise InvalidRecord(f"{file}: {exc.strerror}", reason="unreadable_file") from exc
    return {number: _unquoted(name) for number, name in _NAME.findall(text)}


def _unquoted(name: str) -> str:
    if name.startswith('"'):
        try:
            return str(json.loads(name))
        except ValueError:
            return name
    return name[1:-1].replace("''", "'") if name.startswith("'") and name.endswith("'") else name


def _annotation(line: str, names: dict[str, str], size: tuple[int, int]) -> Annotation:
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
    return annotation(name, (left, top, left + width * wide, top + height * high), size)
