"""CVAT's shapes as annotations: of its files, and of its server."""

from collections.abc import Iterable, Mapping, Sequence

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Box
from services.contracts.run_lengths import INVALID_MASK
from services.formats.cvat_masks import CvatMask
from services.formats.geometry import Size
from services.formats.readers.returned import DrawnBox

Attributes = Mapping[str, str]
"""A shape's attributes: those that an export defined, and the team's own."""


def require_decided(attributes: Iterable[Attributes]) -> None:
    """Refuse a frame on which a proposal is neither confirmed nor deleted.

    Parameters
    ----------
    attributes : of each shape on the frame

    Raises
    ------
    InvalidRecord
        `unfinished_task`.
    """
    if any(item.get("proposal") == "true" for item in attributes):
        raise InvalidRecord("a proposal is not decided yet", reason="unfinished_task")


def drawn_rectangle(
    label: object, corners: Box, degrees: float, attributes: Attributes
) -> DrawnBox:
    """A rectangle, which is rotated about its centre."""
    return _flagged(DrawnBox(label, corners, degrees), attributes)


def drawn_polygon(label: object, points: Sequence[float], attributes: Attributes) -> DrawnBox:
    """A polygon `[x1, y1, x2, y2, …]`: the box around it, and the mask that it encloses.

    Raises
    ------
    InvalidRecord
        `invalid_box`: a number is missing or not finite. `unsupported_shape`: it encloses nothing.
    """
    if len(points) % 2:
        raise InvalidRecord("a point is not two numbers", reason="invalid_box")
    corners = zip(points[::2], points[1::2], strict=True)
    return _flagged(DrawnBox.polygon(label, corners), attributes)


def drawn_mask(
    label: object, mask: CvatMask, size: Size | None, attributes: Attributes
) -> DrawnBox:
    """A mask, and the box around it.

    Raises
    ------
    InvalidRecord
        `invalid_mask`: it does not fit the image, or the image's size is unknown.
        `box_without_area`: it is empty.
    """
    if size is None:
        detail = "a mask needs the width and height of its image"
        raise InvalidRecord(detail, reason=INVALID_MASK)
    shape = mask.on(size)
    x, y, width, height = shape.bbox
    drawn = DrawnBox(label, (x, y, x + width, y + height), mask=shape.mask)
    return _flagged(drawn, attributes)


def _flagged(drawn: DrawnBox, attributes: Attributes) -> DrawnBox:
    crowd, ignore = (attributes.get(name) == "true" for name in ("crowd", "ignore"))
    return drawn._replace(crowd=crowd, ignore=ignore)
