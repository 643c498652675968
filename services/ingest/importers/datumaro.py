"""Datumaro's own JSON, come back, from our export or from what Datumaro made of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.ingest import fields
from services.ingest.fields import Record
from services.ingest.importers.records import located
from services.ingest.importers.returned import Manifest, annotation, frame_of, returned
from services.ingest.items import Dataset, FrameItem, Located
from services.ingest.json_files import read_json


def read_datumaro(file: Path, manifest: Manifest) -> Dataset:
    """Open one of the files in `annotations/`; an item's id is its image's stem.

    Raises
    ------
    InvalidRecord
        The file cannot be read at all.
    """
    content = fields.record(read_json(file), str(file))
    names = _names(content)
    sources = located(file, "items", content.get("items"))
    parse = partial(_frame, manifest=manifest, names=names)
    return Dataset(file.stem, len(sources), returned(sources, parse))


def _names(content: Record) -> Sequence[object]:
    categories = fields.record(content.get("categories"), "categories")
    labels = fields.record(categories.get("label", {}), "label").get("labels", [])
    if not isinstance(labels, list):
        raise fields.malformed("categories.label.labels is not a list")
    return [fields.record(each, "a label").get("name") for each in labels]


def _frame(source: Located[object], *, manifest: Manifest, names: Sequence[object]) -> FrameItem:
    item = fields.record(source.value, "the item")
    sent = manifest.of(f"{item.get('id')}.json")
    given = item.get("annotations")
    if not isinstance(given, list):
        raise fields.malformed("annotations is not a list")
    found = [_annotation(fields.record(each, "an annotation"), sent.size, names) for each in given]
    return frame_of(sent, found, source.location)


def _annotation(record: Record, size: tuple[int, int], names: Sequence[object]) -> Annotation:
    if record.get("type") != "bbox":
        raise InvalidRecord(f"a {record.get('type')!r:.40} has no box", reason="unsupported_shape")
    number = record.get("label_id")
    if type(number) is not int or not 0 <= number < len(names):
        raise InvalidRecord(f"no label {number!r:.40} is listed", reason="unknown_category")
    x, y, width, height = fields.box(record.get("bbox"))
    attributes = fields.record(record.get("attributes", {}), "attributes")
    return annotation(
        names[number],
        (x, y, x + width, y + height),
        size,
        crowd=attributes.get("is_crowd") is True,
        ignore=attributes.get("ignore") is True,
    )
