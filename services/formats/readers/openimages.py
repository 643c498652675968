"""Open Images' boxes: a CSV file, next to `class-descriptions*.csv` with the names of its codes.

`IsGroupOf` boxes become crowds, as in the challenge's evaluation. Corners are fractions.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Dataset, Located, RecordKind, Rejection
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.folders import columns_of
from services.formats.readers.records import rejection
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    incomplete,
    returned,
    version_of,
)

_SIDES = ("XMin", "YMin", "XMax", "YMax")
_UNKNOWN = "-1"
_COLUMNS = frozenset({"ImageID", "LabelName", "IsGroupOf", *_SIDES})


def is_openimages(file: Path) -> bool:
    """Whether the first line has the columns of annotated boxes."""
    return columns_of(file) >= _COLUMNS


def read_openimages(file: Path, sent: NamedFrames) -> Dataset:
    """Open a CSV file of boxes, such as `train-annotations-bbox.csv`.

    Raises
    ------
    InvalidRecord
        The file is unreadable, or `unsupported_format`: it lacks columns.
    """
    if not is_openimages(file):
        detail = f"{file} lacks some of the columns {', '.join(sorted(_COLUMNS))}"
        raise InvalidRecord(detail, reason="unsupported_format")
    unplaced: list[Rejection] = []
    images = _rows_of_images(file, unplaced)
    named = next(iter(sorted(file.parent.glob("class-descriptions*.csv"))), None)
    names = ClassNames.read(named) if named else None
    sources = [Located[object](rows, f"{file}:{name}") for name, rows in images.items()]
    at = dict(zip((source.location for source in sources), images, strict=True))

    def parse(source: Located[object]) -> Sequence[Version]:
        name = at[source.location]
        found = sent.of(name)
        frame = ReturnedFrame(found.frame_id, found.size, source.location)
        version = version_of(frame, images[name], partial(_drawn, names, found.size))
        return [incomplete(version) if unplaced else version]

    return Dataset(file.stem, len(sources), chain(unplaced, returned(sources, parse)))


def _rows_of_images(file: Path, unplaced: list[Rejection]) -> dict[str, list[Record]]:
    """The rows of each image; those that name none, and may be of any, are added to `unplaced`."""
    images: dict[str, list[Record]] = defaultdict(list)
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            reader = csv.DictReader(opened, restkey="more")
            for row in reader:
                if row.get("ImageID"):
                    images[row["ImageID"]].append(row)
                else:
                    source = Located[object](row, f"{file}:{reader.line_num}")
                    error = fields.malformed("the row names no image")
                    unplaced.append(rejection(error, source, RecordKind.ANNOTATION))
    except (OSError, csv.Error) as exc:
        raise InvalidRecord(f"{file}: {exc}", reason="unreadable_file") from exc
    return images


def _drawn(names: ClassNames | None, size: Size, row: Mapping[str, str]) -> DrawnBox:
    try:
        left, top, right, bottom = (float(row.get(side) or "") for side in _SIDES)
    except ValueError:
        raise InvalidRecord("a side is no number", reason="invalid_box") from None
    code = row.get("LabelName") or ""
    label = names.record_of(code)["category_name"] if names else code
    width, height = size
    corners = (left * width, top * height, right * width, bottom * height)
    group = row.get("IsGroupOf")
    is_group = group != _UNKNOWN and fields.crowd(group, "IsGroupOf")
    return DrawnBox(label, corners, crowd=is_group)
