"""Read Datumaro's own JSON: the export as it was, or as Datumaro rewrote it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats import fields, masks
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.json_files import read_json
from services.formats.readers.grouped_shapes import shapes_of_objects
from services.formats.readers.records import located
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)

_WITHOUT_SHAPE = ("label", "caption")  # a tuple compares values of any type
"""Annotation types that apply to a whole image."""


def read_datumaro(file: Path, sent: NamedFrames) -> Dataset:
    """Open one of the files in `annotations/`; an item's id is its image's stem.

    Raises
    ------
    InvalidRecord
        The file is unreadable.
    """
    content = fields.record(read_json(file), str(file))
    names = _names(content)
    sources = located(file, "items", content.get("items"))
    parse = partial(_versions, manifest=sent, names=names)
    return Dataset(file.stem, len(sources), returned(sources, parse))


def _names(content: Record) -> Sequence[object]:
    categories = fields.record(content.get("categories"), "categories")
    labels = fields.record(categories.get("label", {}), "label").get("labels", [])
    if not isinstance(labels, list):
        raise fields.malformed("categories.label.labels is not a list")
    return [fields.record(label, "a label").get("name") for label in labels]


def _versions(
    source: Located[object], *, manifest: NamedFrames, names: Sequence[object]
) -> Sequence[Version]:
    item = fields.record(source.value, "the item")
    sent = manifest.of(f"{item.get('id')}.json")
    annotations = item.get("annotations")
    if not isinstance(annotations, list):
        raise fields.malformed("annotations is not a list")
    frame = ReturnedFrame(sent.frame_id, _size(item), source.location)
    objects = shapes_of_objects(annotations, _object_of)
    return [version_of(frame, objects, partial(_drawn, names, frame.size))]


def _object_of(annotation: object) -> tuple[str, str] | None:
    """What the polygons of one object have in common: group and label.

    Datumaro itself writes an object of several polygons so, such as those that it reads from COCO.
    """
    found = annotation if isinstance(annotation, dict) else {}
    if not found.get("group") or found.get("type") != "polygon":
        return None
    return repr(found["group"]), repr(found.get("label_id"))


def _size(item: Record) -> Size | None:
    """The image size, which Datumaro writes as height and width."""
    image = item.get("image")
    size = image.get("size") if isinstance(image, dict) else None
    if isinstance(size, list) and len(size) == 2:  # noqa: PLR2004  # height and width
        height, width = map(fields.side, size)
        if height is not None and width is not None:
            return width, height
    return None


def _drawn(names: Sequence[object], size: Size | None, parts: Sequence[object]) -> DrawnBox | None:
    records = [fields.record(part, "an annotation") for part in parts]
    first = records[0]
    kind = first.get("type")
    if kind in _WITHOUT_SHAPE:
        return None
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise InvalidRecord(f"a {kind!r:.40} has no box", reason="unsupported_shape")
    number = first.get("label_id")
    if type(number) is not int or not 0 <= number < len(names):
        raise InvalidRecord(f"no label {number!r:.40} is listed", reason="unknown_category")
    attributes = fields.record(first.get("attributes", {}), "attributes")
    return shape(names[number], records, size)._replace(
        crowd=fields.crowd(attributes.get("is_crowd"), "is_crowd"),
        ignore=attributes.get("ignore") is True,
    )


def _box(label: object, parts: Sequence[Record], _: Size | None) -> DrawnBox:
    x, y, width, height = fields.box(parts[0].get("bbox"))
    attributes = fields.record(parts[0].get("attributes", {}), "attributes")
    return DrawnBox(label, (x, y, x + width, y + height), fields.rotation(attributes))


def _polygons(label: object, parts: Sequence[Record], _: Size | None) -> DrawnBox:
    """The box around all polygons of an object."""
    outlines = [part.get("points") for part in parts]
    x, y, width, height = masks.around_polygons(outlines)
    corners = (x, y, x + width, y + height)
    return DrawnBox(label, corners, outlined=True, polygons=outlines)


def _mask(label: object, parts: Sequence[Record], size: Size | None) -> DrawnBox:
    return DrawnBox.of_runs(label, parts[0].get("rle"), size)


_SHAPES: Mapping[str, Callable[[object, Sequence[Record], Size | None], DrawnBox]] = {
    "bbox": _box,
    "polygon": _polygons,
    "mask": _mask,
}
