"""The rows of the form in which the boxes of a frame are drawn, moved and named."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import FormData

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Box, Category
from services.domain.detection.operating_scores import OperatingScores
from services.domain.ports.frames import FrameRecord

MAX_ROWS = 400
"""More do not fit into one form."""
_EMPTY_ROWS = 3
"""Rows for new boxes where the page's script does not run."""
_MAX_CATEGORY_LENGTH = 100
_MIN_SIDE = 1.0


@dataclass(frozen=True)
class BoxRow:
    """One row, as the form shows it.

    Attributes
    ----------
    key : `a` and the index of an annotation, or another letter and a number
    kept : whether the row is part of the ground truth
    box : x, y, width and height in pixels
    score : of a prediction that may become an annotation
    """

    key: str
    kept: bool
    category: str
    box: str
    score: float | None = None


def rows_of(
    annotations: Sequence[Annotation], record: FrameRecord, operating: OperatingScores
) -> list[BoxRow]:
    """The rows of a frame: its annotations, the predictions that are shown, and empty ones."""
    rows = [
        BoxRow(f"a{k}", kept=True, category=annotation.category, box=box_text(annotation.bbox))
        for k, annotation in enumerate(annotations)
    ]
    shown = [
        detection
        for detector in record.predictions
        for detection in record.named(detector).predictions.detections
        if detection.score >= operating.of(detector, detection.category)
    ]
    rows += [
        BoxRow(f"p{k}", False, detection.category, box_text(detection.bbox), detection.score)
        for k, detection in enumerate(sorted(shown, key=lambda detection: -detection.score))
    ]
    return [*rows[:MAX_ROWS], *(BoxRow(f"e{k}", False, "", "") for k in range(_EMPTY_ROWS))]


def rows_from(form: FormData) -> list[BoxRow]:
    """The rows that a person sent."""
    checked = {str(key) for key in form.getlist("row")}
    keys = [str(key) for key in form.getlist("key")]
    return [
        BoxRow(
            key,
            key in checked,
            str(form.get(f"category-{key}", "")).strip()[:_MAX_CATEGORY_LENGTH],
            str(form.get(f"box-{key}", "")).strip(),
        )
        for key in dict.fromkeys(keys)
    ]


def annotations_from(
    rows: Sequence[BoxRow], before: Sequence[Annotation], image: tuple[int, int]
) -> tuple[Annotation, ...]:
    """The annotations of the kept rows.

    An annotation whose box is unchanged keeps its mask, area and flags. A new box fits neither a
    mask nor an area, so it loses them.

    Parameters
    ----------
    before : the annotations that the form was rendered from
    image : width and height in pixels

    Raises
    ------
    InvalidRecord
        `no_category` or `bad_box`: a kept row lacks a category, or its box is not inside the image.
    """
    by_key = {f"a{k}": annotation for k, annotation in enumerate(before)}
    return tuple(_annotation(row, by_key.get(row.key), image) for row in rows if row.kept)


def box_text(box: Box) -> str:
    """A box as the form shows it."""
    return ", ".join(f"{value:.1f}" for value in box)


def _annotation(row: BoxRow, before: Annotation | None, image: tuple[int, int]) -> Annotation:
    if not row.category or not row.category.isprintable():
        raise InvalidRecord(f"name the category of the box {row.box}", reason="no_category")
    category = Category(row.category)
    if before is None:
        return Annotation(category=category, bbox=_inside(row.box, image))
    if row.box == box_text(before.bbox):
        return before.model_copy(update={"category": category})
    changed = {"category": category, "bbox": _inside(row.box, image), "area": None, "mask": None}
    return before.model_copy(update=changed)


def _inside(text: str, image: tuple[int, int]) -> Box:
    """The part of a box that is inside the image."""
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        raise InvalidRecord(
            f"a box is x, y, width, height, and not {text!r}", reason="bad_box"
        ) from None
    left, top = max(x, 0.0), max(y, 0.0)
    wide, high = min(x + width, image[0]) - left, min(y + height, image[1]) - top
    if not (math.isfinite(x + y + width + height) and min(wide, high) >= _MIN_SIDE):
        raise InvalidRecord(f"the box {text} is not inside the image", reason="bad_box")
    return (left, top, wide, high)
