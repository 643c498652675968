"""Images whose detections are parallel lists: boxes, labels and scores."""

from collections.abc import Sequence
from typing import Any

from services.contracts.errors import InvalidRecord
from services.formats import fields
from services.formats.fields import Record
from services.formats.readers.detections.boxes import from_corners
from services.formats.readers.detections.class_names import ClassNames
from services.formats.readers.detections.files import OutputFiles
from services.formats.readers.detections.output import Output


def recognises_lists(files: OutputFiles, boxes: str) -> bool:
    """Whether a part has the lists of boxes, under this key, `labels` and `scores`."""
    return files.has(lambda value: _has_lists(value, _keys(boxes)))


def _keys(boxes: str) -> Sequence[str]:
    return boxes, "labels", "scores"


def _has_lists(value: Any, keys: Sequence[str]) -> bool:
    """Whether the value is an object with these lists."""
    return isinstance(value, dict) and all(isinstance(value.get(key), list) for key in keys)


def read_lists(files: OutputFiles, boxes: str, names: ClassNames | None) -> Output:
    """The detections of all images.

    Parameters
    ----------
    boxes : the key of the boxes, which are `[left, top, right, bottom]` in pixels
    names : of labels that are numbers; None where numbers are the data set's category ids

    Raises
    ------
    InvalidRecord
        A single file is unreadable.
    """
    found = Output(files.path)
    keys = _keys(boxes)
    for part in files.parts(lambda value: _has_lists(value, keys)):
        error = part.error or _unequal(part.value, keys)
        if error is not None:
            found.refuse(part.image, part.value, part.location, error)
            continue
        files.note_image(part.image, part.value)
        for at, value in enumerate(_rows(part.value, boxes)):
            found.add(part.image, value, f"{part.location}:[{at}]", lambda row: _record(row, names))
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


def _record(row: Record, names: ClassNames | None) -> Record:
    # Only a run-length mask is small enough to stand in JSON; others are left out.
    mask = {"segmentation": row["mask"]} if isinstance(row["mask"], dict) else {}
    bbox = from_corners(row["box"])
    return {**_category(row["label"], names), "score": row["score"], "bbox": bbox, **mask}


def _category(label: object, names: ClassNames | None) -> Record:
    if isinstance(label, str):
        return {"category_name": label}
    return {"category_id": label} if names is None else names.record_of(label)
