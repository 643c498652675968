"""Simple corrections of a frame's ground truth that concern one region."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Box, Category
from services.domain.detection.boxes import iou_matrix

_SAME_IOU = 0.5
_TOUCHING_IOU = 0.1
"""The least IoU at which an annotation counts as being about the region, for renaming."""


class Edit(StrEnum):
    """A correction that an annotator can make at a region."""

    NO_OBJECT = "no_object"
    """No object of this category is here: remove such annotations."""
    MISSING_LABEL = "missing_label"
    """The ground truth lacks an object here: add the region."""
    WRONG_CATEGORY = "wrong_category"
    """The annotation here has the wrong category: change it."""


def edited(
    annotations: Sequence[Annotation], region: Box, edit: Edit, category: Category
) -> tuple[Annotation, ...]:
    """The annotations after this correction.

    Parameters
    ----------
    category : the region's own category for `NO_OBJECT`, else the one that the annotator names

    Raises
    ------
    InvalidRecord
        `already_annotated`: the object is annotated already. `no_annotation_here`: no annotation
        is here to remove or to rename.
    """
    overlaps = overlaps_with(annotations, region)
    match edit:
        case Edit.NO_OBJECT:
            return _removed(annotations, overlaps, category)
        case Edit.MISSING_LABEL:
            return _added(annotations, overlaps, region, category)
        case Edit.WRONG_CATEGORY:
            return _renamed(annotations, overlaps, category)


def possible_edits(
    annotations: Sequence[Annotation], region: Box, category: Category
) -> frozenset[Edit]:
    """The corrections that would change the annotations.

    Parameters
    ----------
    category : the region's own; a label of another category can always be added
    """
    overlaps = overlaps_with(annotations, region)
    possible = {Edit.MISSING_LABEL}
    if any(_same(annotations, overlaps, category)):
        possible.add(Edit.NO_OBJECT)
    if max(overlaps, default=0.0) >= _TOUCHING_IOU:
        possible.add(Edit.WRONG_CATEGORY)
    return frozenset(possible)


def overlaps_with(annotations: Sequence[Annotation], region: Box) -> list[float]:
    """The IoU of each annotation with the region."""
    if not annotations:
        return []
    boxes = np.array([annotation.bbox for annotation in annotations], float)
    crowd = np.zeros(len(boxes), bool)
    overlaps: list[float] = iou_matrix(np.array([region], float), boxes, crowd)[0].tolist()
    return overlaps


def _same(
    annotations: Sequence[Annotation], overlaps: Sequence[float], category: Category
) -> list[bool]:
    """Which annotations are of this category and at the region."""
    return [
        annotation.category == category and overlap >= _SAME_IOU
        for annotation, overlap in zip(annotations, overlaps, strict=True)
    ]


def _removed(
    annotations: Sequence[Annotation], overlaps: Sequence[float], category: Category
) -> tuple[Annotation, ...]:
    same = _same(annotations, overlaps, category)
    if not any(same):
        detail = f"the ground truth already has no {category} here"
        raise InvalidRecord(detail, reason="no_annotation_here")
    return tuple(annotation for annotation, gone in zip(annotations, same, strict=True) if not gone)


def _added(
    annotations: Sequence[Annotation], overlaps: Sequence[float], region: Box, category: Category
) -> tuple[Annotation, ...]:
    if any(_same(annotations, overlaps, category)):
        detail = f"the ground truth already has a {category} here"
        raise InvalidRecord(detail, reason="already_annotated")
    return (*annotations, Annotation(category=category, bbox=region))


def _renamed(
    annotations: Sequence[Annotation], overlaps: Sequence[float], category: Category
) -> tuple[Annotation, ...]:
    nearest = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
    if nearest is None or overlaps[nearest] < _TOUCHING_IOU:
        raise InvalidRecord("there is no annotation here to rename", reason="no_annotation_here")
    renamed = annotations[nearest].model_copy(update={"category": category})
    return (*annotations[:nearest], renamed, *annotations[nearest + 1 :])
