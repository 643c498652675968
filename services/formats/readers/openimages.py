"""Open Images' boxes: a CSV file, next to `class-descriptions*.csv` with the names of its codes.

`IsGroupOf` boxes become crowds, as in the challenge's evaluation. Corners are fractions.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.folders import columns_of
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
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
    images: dict[str, list[Record]] = defaultdict(list)
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            for row in csv.DictReader(opened, restkey="more"):
                images[row.get("ImageID") or ""].append(row)
    except (OSError, csv.Error) as exc:
        raise InvalidRecord(f"{file}: {exc}", reason="unreadable_file") from exc
    named = next(iter(sorted(file.parent.glob("class-descriptions*.csv"))), None)
    names = ClassNames.read(named) if named else None
    sources = [Located[object](rows, f"{file}:{name}") for name, rows in images.items()]
    at = dict(zip((source.location for source in sources), images, strict=True))

    def parse(source: Located[object]) -> Sequence[Version]:
        name = at[source.location]
        found = sent.of(name)
        frame = ReturnedFrame(found.frame_id, found.size, source.location)
        return [version_of(frame, images[name], partial(_drawn, names, found.size))]

    return Dataset(file.stem, len(sources), returned(sources, parse))


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
