"""When a frame is complete: no refused box can be an object of it."""

from collections.abc import Sequence
from typing import Final

from services.formats.items import Rejection

_NO_OBJECT: Final = frozenset({"box_without_area", "box_outside_image"})


def cannot_be_object(reason: str) -> bool:
    """Whether a box refused for this reason cannot be an object in the image."""
    return reason in _NO_OBJECT


def is_emptied(refused: Sequence[object], kept: Sequence[object]) -> bool:
    """Whether all boxes of a frame were refused: it would count as a frame without objects.

    Such a frame is not complete, even if no box can be an object: in a file with other units, all
    boxes are outside their image, or their corners are rounded to no area.
    """
    return bool(refused) and not kept


def is_complete(refused: Sequence[Rejection], kept: Sequence[object]) -> bool:
    """Whether the boxes that were kept are all objects of the frame."""
    no_objects = all(cannot_be_object(rejection.reason) for rejection in refused)
    return no_objects and not is_emptied(refused, kept)
