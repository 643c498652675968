"""Ultralytics' `predictions.json`, which `val` writes with `save_json=True`.

Its records resemble COCO's. `image_id` is the image's file name without ending, and `category_id`
counts the model's classes, from 1 in current versions; see `pred_to_json` and `class_map` in
ultralytics/models/yolo/detect/val.py. Rotated boxes have `rbox` and `poly` instead of `bbox`
(ultralytics/models/yolo/obb/val.py); the upright box around `poly` is read.
"""

from functools import partial
from pathlib import PurePosixPath
from typing import Any

from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import box_around
from services.formats.readers.detections.boxes import numbers
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output

_SAMPLE = 100
_CORNERS = 8


def recognises(files: OutputFiles) -> bool:
    """Whether all records have the stem of their `file_name` as `image_id`."""
    return files.has(_is_list)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_record, value[:_SAMPLE]))


def _is_record(value: object) -> bool:
    if not isinstance(value, dict) or not {"category_id", "score"} <= value.keys():
        return False
    name, image = value.get("file_name"), value.get("image_id")
    if not isinstance(name, str) or not value.keys() & {"bbox", "rbox"}:
        return False
    stem = PurePosixPath(name).stem
    return image == (int(stem) if stem.isdecimal() and len(stem) < 18 else stem)  # noqa: PLR2004  # as in names.py


def read(files: OutputFiles) -> Output:
    """The records, with the names of their classes if those are known.

    Raises
    ------
    InvalidRecord
        A single file, or the file with the classes' names, is unreadable.
    """
    found, names = Output(files.path), files.names
    for document in files.documents():
        if document.error is not None or not isinstance(document.value, list):
            error = document.error or fields.malformed("it is not a list of results")
            found.refuse(document.image, document.value, document.location, error)
            continue
        convert = partial(_converted, names=names, first=_first_class(document.value))
        for at, value in enumerate(document.value):
            location = f"{document.location}:[{at}]"
            found.add(_image(value), value, location, convert)
    return found


def _image(value: object) -> Record:
    keys = ("file_name", "image_id")
    return {key: value[key] for key in keys if key in value} if isinstance(value, dict) else {}


def _first_class(values: list[Any]) -> int:
    """0 if a record has class 0, as in earlier versions; else 1."""
    is_from_zero = any(
        isinstance(value, dict) and value.get("category_id") == 0 for value in values
    )
    return 0 if is_from_zero else 1


def _converted(record: Record, names: ClassNames | None, first: int) -> Record:
    found = dict(record)
    if names is not None:
        found |= names.record_of(record.get("category_id"), first)
        del found["category_id"]
    if "bbox" not in record:
        corners = numbers(record.get("poly"), _CORNERS, "poly")
        found["bbox"] = [*box_around(zip(corners[::2], corners[1::2], strict=True))]
    return found
