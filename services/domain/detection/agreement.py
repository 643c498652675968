"""Agreement of several annotators on one frame."""

from collections.abc import Sequence
from typing import Final

from services.contracts.events import Annotation
from services.contracts.identity import Box

_SAME_PX: Final = 0.5
"""Two boxes are the same if no coordinate differs by more."""


def same(first: Annotation, second: Annotation) -> bool:
    """Whether category, flags, mask and, to half a pixel, box are equal.

    The flags crowd and ignore count because evaluation treats such annotations differently. Masks
    have no tolerance: a mask that an annotator leaves as it was sent comes back with equal pixels.
    """
    near = all(abs(a - b) <= _SAME_PX for a, b in zip(first.bbox, second.bbox, strict=True))
    flags = (first.crowd, first.ignore) == (second.crowd, second.ignore)
    drawn = first.mask == second.mask
    return first.category == second.category and flags and near and drawn


def agree(version: Sequence[Annotation], other_version: Sequence[Annotation]) -> bool:
    """Whether two annotators drew the same objects, in any order."""
    left = sorted(other_version, key=_sort_key)  # Sorted, the first one left is usually the match.
    for annotation in sorted(version, key=_sort_key):
        at = next((at for at, other in enumerate(left) if same(annotation, other)), None)
        if at is None:
            return False
        del left[at]
    return not left


def apart(version: Sequence[Annotation], others: Sequence[Sequence[Annotation]]) -> list[int]:
    """Indices of the annotations that are missing from any of the others."""
    return [
        index
        for index, annotation in enumerate(version)
        if not all(any(same(annotation, item) for item in other) for other in others)
    ]


def _sort_key(annotation: Annotation) -> tuple[str, Box]:
    return annotation.category, annotation.bbox
