"""Images whose detections are parallel lists: boxes, labels and scores."""

from collections.abc import Callable, Sequence
from typing import Any

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.readers.detections.boxes import from_corners
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output

OfLabel = Callable[[object], Record]
"""The `category_name` or `category_id` of a label."""


def has_lists(value: Any, keys: Sequence[str]) -> bool:
    """Whether the value is an object with these lists."""
    return isinstance(value, dict) and all(isinstance(value.get(key), list) for key in keys)


def read_lists(files: OutputFiles, boxes: str, of_label: OfLabel) -> Output:
    """The detections of all images.

    Parameters
    ----------
    boxes : the key of the boxes, which are `[left, top, right, bottom]` in pixels

    Raises
    ------
    InvalidRecord
        A single file is unreadable.
    """
    found = Output(files.path)
    keys = (boxes, "labels", "scores")
    for part in files.parts(lambda value: has_lists(value, keys)):
        error = part.error or _unequal(part.value, keys)
        if error is not None:
            found.refuse(part.image, part.value, part.location, error)
            continue
        for at, value in enumerate(_rows(part.value, boxes)):
            found.add(
                part.image, value, f"{part.location}:[{at}]", lambda row: _record(row, of_label)
            )
    return found


def _unequal(value: Record, keys: Sequence[str]) -> InvalidRecord | None:
    lengths = {key: len(value[key]) for key in keys}
    if len(set(lengths.values())) == 1:
        return None
    return fields.malformed(f"its lists have different lengths: {lengths}")


def _rows(value: Record, boxes: str) -> list[Record]:
    masks = value.get("masks")
    has_masks = isinstance(masks, list) and len(masks) == len(value[boxes])
    shapes = masks if has_masks and masks else [None] * len(value[boxes])
    return [
        {"box": box, "label": label, "score": score, "mask": mask}
        for box, label, score, mask in zip(
            value[boxes], value["labels"], value["scores"], shapes, strict=True
        )
    ]


def _record(row: Record, of_label: OfLabel) -> Record:
    # Only a run-length mask is small enough to stand in JSON; others are left out.
    mask = {"segmentation": row["mask"]} if isinstance(row["mask"], dict) else {}
    bbox = from_corners(row["box"])
    return {**of_label(row["label"]), "score": row["score"], "bbox": bbox, **mask}
