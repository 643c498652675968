"""Turns images into network inputs: scales frames, and crops boxes with their context."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

GREY = (124, 116, 104)
"""ImageNet's mean as a colour, for a box that is completely outside its image."""
_MULTIPLE = 16


def scaled_size(width: int, height: int, longer: int, least: int) -> tuple[int, int]:
    """Scaled width and height: longer side `longer`, both at least `least` and multiples of 16."""
    scale = longer / max(width, height) / _MULTIPLE
    fewest = least // _MULTIPLE
    sides = (max(round(side * scale), fewest) * _MULTIPLE for side in (width, height))
    return next(sides), next(sides)


def scale(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """Resize an image to (H, W, 3) uint8."""
    scaled = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(scaled)


def cut(image: Image.Image, box: Sequence[float], context: float, size: tuple[int, int]) -> Pixels:
    """Crop a box and resize it to (height, width, 3) uint8.

    The aspect ratio is not kept, because a box's shape is part of the error: on real images this
    finds the same failure more often than a square around the box does
    (docs/measurements/embedding.md).

    Parameters
    ----------
    box : [x, y, width, height] in pixels
    context : factor by which the crop is wider and higher than the box, clipped to the image
    size : width and height of the result
    """
    x, y, width, height = box
    across, along = width * context / 2, height * context / 2
    middle_x, middle_y = x + width / 2, y + height / 2
    left, right = max(middle_x - across, 0.0), min(middle_x + across, image.width)
    top, bottom = max(middle_y - along, 0.0), min(middle_y + along, image.height)
    if right <= left or bottom <= top:
        return np.full((*size[::-1], 3), GREY, np.uint8)
    inside = (left, top, right, bottom)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, inside, reducing_gap=2.0))


def cut_all(
    boxes: Sequence[tuple[Image.Image, Sequence[float]]], context: float, size: tuple[int, int]
) -> Pixels:
    """Crop all boxes, each from its own image: (N, height, width, 3) uint8."""
    cuts = np.empty((len(boxes), *size[::-1], 3), np.uint8)
    for place, (image, box) in enumerate(boxes):
        cuts[place] = cut(image, box, context, size)
    return cuts
