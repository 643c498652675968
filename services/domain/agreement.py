"""Whether people who annotate one frame say the same of it."""

from collections.abc import Sequence
from typing import Final

from services.contracts.events import Annotation

_SAME_PX: Final = 0.5
"""Two people drew the same box where no side is further apart."""


def same(one: Annotation, other: Annotation) -> bool:
    """Whether both are of one category, and their boxes are the same to half a pixel."""
    near = all(abs(a - b) <= _SAME_PX for a, b in zip(one.bbox, other.bbox, strict=True))
    return one.category == other.category and near


def agree(some: Sequence[Annotation], others: Sequence[Annotation]) -> bool:
    """Whether two people drew the same boxes, in whatever order."""
    return len(some) == len(others) and all(
        same(one, other)
        for one, other in zip(sorted(some, key=_place), sorted(others, key=_place), strict=True)
    )


def apart(version: Sequence[Annotation], others: Sequence[Sequence[Annotation]]) -> list[int]:
    """Places of the annotations that not all the others have as well."""
    return [
        place
        for place, annotation in enumerate(version)
        if not all(any(same(annotation, each) for each in other) for other in others)
    ]


def _place(annotation: Annotation) -> tuple[str, tuple[int, ...]]:
    return annotation.category, tuple(round(side) for side in annotation.bbox)
