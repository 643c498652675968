"""BDD100K and Scalabel: a list of frames, or an object with `frames`, each with `labels`.

See scalabel/label/typing.py. A frame's `attributes` (weather, scene, time of day) become tags, its
`videoName` its drive. An object is its `box2d`, else its `rle`, else its closed `poly2d`. Lanes and
drivable areas are left out: open `poly2d`, and the categories that BDD100K has for them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from services.contracts.errors import InvalidRecord
from services.contracts.identity import DriveId
from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.json_files import read_json
from services.formats.readers.outlines import points_of, with_curves
from services.formats.readers.records import declared_size, located
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)
from services.formats.readers.traits import tags

_SIDES = ("x1", "y1", "x2", "y2")
_STREET: Final = frozenset({"lane", "drivable area", "direct", "alternative"})
_STREET_PARTS: Final = ("lane/", "area/")
"""Beginnings of categories in the first version of BDD100K."""


def is_scalabel(content: object) -> bool:
    """Whether a JSON file is a list of frames with labels."""
    frames = _frames(content)
    first = frames[0] if isinstance(frames, list) and frames else None
    return isinstance(first, dict) and "name" in first and "labels" in first


def _frames(content: object) -> object:
    return content.get("frames") if isinstance(content, dict) else content


def read_scalabel(file: Path, sent: NamedFrames) -> Dataset:
    """Open a file of labels.

    Raises
    ------
    InvalidRecord
        The file is unreadable.
    """
    content = read_json(file)
    sources = located(file, "frames", _frames(content))
    config = content.get("config") if isinstance(content, dict) else None
    shared = config.get("imageSize") if isinstance(config, dict) else None

    def parse(source: Located[object]) -> Sequence[Version]:
        record = fields.record(source.value, "the frame")
        labels = record.get("labels")
        if labels is None:  # nothing says that anybody looked for objects
            return []
        if not isinstance(labels, list):
            raise fields.malformed("labels is not a list")
        found = sent.of(str(record.get("name")))
        size = record.get("size") or shared
        video = record.get("videoName", record.get("video_name"))
        declared = declared_size(size) if isinstance(size, Mapping) else None
        frame = ReturnedFrame(
            found.frame_id,
            declared or (found.size if any(map(_has_outline, labels)) else None),
            source.location,
            drive_id=DriveId(fields.quoted(video)) if isinstance(video, str) and video else None,
            tags=_tags(record),
        )
        return [version_of(frame, labels, partial(_drawn, frame.size))]

    return Dataset(file.stem, len(sources), returned(sources, parse))


def _has_outline(label: object) -> bool:
    """Whether a mask is drawn of the label, for which the size of the image must be known."""
    return isinstance(label, dict) and label.get("box2d") is None and bool(label.get("poly2d"))


def _tags(record: Record) -> dict[str, str] | None:
    attributes = record.get("attributes")
    return tags({"tags": attributes}) if isinstance(attributes, dict) else None


def _drawn(size: Size | None, item: object) -> DrawnBox | None:
    label = fields.record(item, "a label")
    if label.get("box2d") is None and _is_street(label.get("category")):
        return None
    drawn = _shape(label, size)
    attributes = label.get("attributes")
    crowd = isinstance(attributes, dict) and fields.crowd(attributes.get("crowd"), "crowd")
    return drawn and drawn._replace(crowd=crowd)


def _is_street(category: object) -> bool:
    """Whether a category is one of BDD100K's lanes or drivable areas, which are no objects."""
    return isinstance(category, str) and (category in _STREET or category.startswith(_STREET_PARTS))


def _shape(label: Record, size: Size | None) -> DrawnBox | None:
    """The box of a label, or else its mask or its closed outlines; None if it is a line."""
    category = label.get("category")
    if label.get("box2d") is not None:
        return _box(category, fields.record(label["box2d"], "box2d"))
    if label.get("rle") is not None:
        return DrawnBox.of_runs(category, label["rle"], size)
    outlines = _outlines(label)
    closed = [outline for outline in outlines if outline.get("closed") is not False]
    if closed:
        return DrawnBox.around([_polygon(category, outline) for outline in closed])
    if outlines:
        return None
    # Left out, it would leave a frame with such objects alone annotated and empty.
    raise InvalidRecord("the label has no box2d, poly2d or rle", reason="unsupported_shape")


def _outlines(label: Record) -> list[Record]:
    outlines = label.get("poly2d") or []
    if not isinstance(outlines, list):
        raise fields.malformed("poly2d is not a list")
    return [fields.record(outline, "an outline of poly2d") for outline in outlines]


def _box(category: object, box: Record) -> DrawnBox:
    sides = [fields.number(box.get(side)) for side in _SIDES]
    left, top, right, bottom = (float("nan") if side is None else side for side in sides)
    return DrawnBox(category, (left, top, right, bottom))


def _polygon(category: object, outline: Record) -> DrawnBox:
    points = points_of(outline.get("vertices"))
    return DrawnBox.polygon(category, with_curves(points, str(outline.get("types", ""))))
