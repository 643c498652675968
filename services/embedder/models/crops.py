"""Turns images into network inputs: scales frames, and crops boxes with their context."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

Pixels = NDArray[np.uint8]

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""ImageNet's mean and deviation, with which torchvision's and Gazeloop's weights were trained."""
NORMALISED = "imagenet"
"""Name of this normalisation in a model's id."""
GREY = (124, 116, 104)
"""The mean as a colour, for a box that is completely outside its image."""
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


def cut(image: Image.Image, box: Sequence[float], context: float, side: int) -> Pixels:
    """Crop a box and resize it to a square, (side, side, 3) uint8.

    The aspect ratio is not kept, because a box's shape is part of the error: on real images this
    finds the same failure more often than a square around the box does
    (docs/measurements/embedding.md).

    Parameters
    ----------
    box : [x, y, width, height] in pixels
    context : factor by which the crop is wider and higher than the box, clipped to the image
    """
    x, y, width, height = box
    across, along = width * context / 2, height * context / 2
    middle_x, middle_y = x + width / 2, y + height / 2
    left, right = max(middle_x - across, 0.0), min(middle_x + across, image.width)
    top, bottom = max(middle_y - along, 0.0), min(middle_y + along, image.height)
    if right <= left or bottom <= top:
        return np.full((side, side, 3), GREY, np.uint8)
    inside = (left, top, right, bottom)
    return np.asarray(
        image.resize((side, side), Image.Resampling.BILINEAR, inside, reducing_gap=2.0)
    )


def cut_all(
    boxes: Sequence[tuple[Image.Image, Sequence[float]]], context: float, side: int
) -> Pixels:
    """Crop all boxes, each from its own image: (N, side, side, 3) uint8."""
    squares = np.empty((len(boxes), side, side, 3), np.uint8)
    for place, (image, box) in enumerate(boxes):
        squares[place] = cut(image, box, context, side)
    return squares


class Normalise(nn.Module):
    """Normalises decoded pixels for a network.

    A module, so that its constants move with the network to a GPU and into OpenVINO's graph.
    """

    factor: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
        self.register_buffer("factor", 1 / (255 * deviation))
        self.register_buffer("offset", mean / deviation)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 to (N, 3, H, W) float32, channels last in memory."""
        values = pixels.to(torch.float32) * self.factor - self.offset
        return values.permute(0, 3, 1, 2)


def normalised(pixels: Pixels) -> Tensor:
    """Normalise (N, H, W, 3) uint8 to (N, 3, H, W) float32, channels last in memory."""
    values: Tensor = Normalise()(torch.from_numpy(pixels))
    return values
