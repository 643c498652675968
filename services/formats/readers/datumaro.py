"""Read Datumaro's own JSON: the export as it was, or as Datumaro rewrote it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.json_files import read_json
from services.formats.readers.records import located
from services.formats.readers.returned import (
    Drawn,
    Frame,
    NamedFrames,
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
    frame = Frame(sent.frame_id, _size(item), source.location)
    return [version_of(frame, annotations, partial(_drawn, names))]


def _size(item: Record) -> Size | None:
    """The image size, which Datumaro writes as height and width."""
    image = item.get("image")
    size = image.get("size") if isinstance(image, dict) else None
    if isinstance(size, list) and len(size) == 2:  # noqa: PLR2004  # height and width
        height, width = map(fields.side, size)
        if height is not None and width is not None:
            return width, height
    return None


def _drawn(names: Sequence[object], value: object) -> Drawn | None:
    record = fields.record(value, "an annotation")
    if record.get("type") in _WITHOUT_SHAPE:
        return None
    if record.get("type") != "bbox":
        raise InvalidRecord(f"a {record.get('type')!r:.40} has no box", reason="unsupported_shape")
    number = record.get("label_id")
    if type(number) is not int or not 0 <= number < len(names):
        raise InvalidRecord(f"no label {number!r:.40} is listed", reason="unknown_category")
    x, y, width, height = fields.box(record.get("bbox"))
    attributes = fields.record(record.get("attributes", {}), "attributes")
    return Drawn(
        names[number],
        (x, y, x + width, y + height),
        fields.rotation(attributes),
        crowd=attributes.get("is_crowd") is True,
        ignore=attributes.get("ignore") is True,
    )
