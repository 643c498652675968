"""What Ultralytics' `Results.to_json()` (`tojson()`) returns for one image.

A list of objects with `name`, `class`, `confidence`, `box` of named corners, and optionally
`track_id` and `segments`; see `Results.summary` in ultralytics/engine/results.py. Coordinates are
pixels, or fractions with `normalize=True`. Nothing in it names the image: its file's name does, or
its key in a mapping.
"""

from collections.abc import Iterable
from typing import Any

from services.formats import fields
from services.formats.fields import Record
from services.formats.geometry import box_around
from services.formats.readers.detections.boxes import RelativeBox, from_corners
from services.formats.readers.detections.files import Document, OutputFiles
from services.formats.readers.detections.output import Output

_TWO = 2
"""Corners of an upright box."""


def recognises(files: OutputFiles) -> bool:
    """Whether a part is a list of objects with `name`, `confidence` and `box`."""
    return files.has(lambda value: bool(value) and _is_part(value))


def _is_part(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and {"confidence", "box"} <= item.keys() for item in value
    )


def read(files: OutputFiles) -> Output:
    """The detections of all images.

    Raises
    ------
    InvalidRecord
        A single file is unreadable.
    """
    found = Output(files.path)
    parts = list(files.parts(_is_part))
    convert = _in_fractions if _are_fractions(parts) else _converted
    for part in parts:
        if part.error is not None:
            found.refuse(part.image, part.value, part.location, part.error)
            continue
        files.note_image(part.image, part.value)
        for at, value in enumerate(part.value):
            found.add(part.image, value, f"{part.location}:[{at}]", convert)
    return found


def _are_fractions(parts: Iterable[Document]) -> bool:
    """Whether no coordinate is above 1: a detector's pixels are, on any image."""
    sides = [
        side
        for part in parts
        if part.error is None
        for value in part.value
        for side in _sides(value.get("box"), "x", "y")
    ]
    return bool(sides) and max(sides) <= 1


def _sides(box: object, *axes: str) -> list[float]:
    if not isinstance(box, dict):
        return []
    values = [fields.number(value) for key, value in box.items() if key.startswith(axes)]
    return [side for side in values if side is not None]


def _converted(record: Record) -> Record:
    track = {key: record[key] for key in ("track_id",) if key in record}
    box = _box(record["box"])
    found = {"category_name": record.get("name"), "score": record.get("confidence"), "bbox": box}
    return {**found, **track, **_outline(record)}


def _box(value: object) -> list[float]:
    """The box of two corners, or around the four of a rotated box."""
    across, down = (_sides(value, axis) for axis in ("x", "y"))
    if not across or len(across) != len(down):
        raise fields.malformed("box has no corners x1, y1, x2, y2")
    if len(across) == _TWO:
        return from_corners([across[0], down[0], across[1], down[1]])
    return [*box_around(zip(across, down, strict=True))]


def _outline(record: Record) -> Record:
    segments = record.get("segments")
    if not isinstance(segments, dict):
        return {}
    across, down = (segments.get(axis) for axis in ("x", "y"))
    if not isinstance(across, list) or not isinstance(down, list) or len(across) != len(down):
        return {}
    return {"segmentation": [[side for point in zip(across, down, strict=True) for side in point]]}


def _in_fractions(record: Record) -> Record:
    found = dict(_converted(record))
    found.pop("segmentation", None)  # It would have to be scaled, and metrics use the box.
    return found | {"bbox": RelativeBox(*found["bbox"])}
