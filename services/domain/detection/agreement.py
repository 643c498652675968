"""Whether people who annotate one frame say the same of it."""

from collections.abc import Sequence
from typing import Final

from services.contracts.events import Annotation
from services.contracts.identity import Box

_SAME_PX: Final = 0.5
"""Two people drew the same box where no side is further apart."""


def same(one: Annotation, other: Annotation) -> bool:
    """Whether both are of one category, and their boxes are the same to half a pixel.

    Whether they are crowds or ignored counts too: evaluation treats such otherwise.
    """
    near = all(abs(a - b) <= _SAME_PX for a, b in zip(one.bbox, other.bbox, strict=True))
    flags = (one.crowd, one.ignore) == (other.crowd, other.ignore)
    return one.category == other.category and flags and near


def agree(some: Sequence[Annotation], others: Sequence[Annotation]) -> bool:
    """Whether two people drew the same boxes, in whatever order."""
    left = sorted(others, key=_place)  # Then the first that is left is mostly the one.
    for annotation in sorted(some, key=_place):
        at = next((at for at, other in enumerate(left) if same(annotation, other)), None)
        if at is None:
            return False
        del left[at]
    return not left


def apart(version: Sequence[Annotation], others: Sequence[Sequence[Annotation]]) -> list[int]:
    """Places of the annotations that not all the others have as well."""
    return [
        place
        for place, annotation in enumerate(version)
        if not all(any(same(annotation, item) for item in other) for other in others)
    ]


def _place(annotation: Annotation) -> tuple[str, Box]:
    return annotation.category, annotation.bbox
