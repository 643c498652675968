"""Reads the lines and areas of a vector tile.

`mapbox-vector-tile` reads them too, but needs an older protobuf than OpenTelemetry's exporter has
here, and Shapely and pyclipper with it.

References
----------
https://github.com/mapbox/vector-tile-spec/tree/master/2.1
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_LAYERS = 3
_NAME, _FEATURES, _EXTENT = 1, 2, 5
_SHAPE, _GEOMETRY = 3, 4
_MOVE, _CLOSE = 1, 7
_MIN_POINTS = 2


class Shape(IntEnum):
    """What a feature's points make."""

    LINE = 2
    AREA = 3


@dataclass(frozen=True)
class Feature:
    """A feature of a layer.

    Attributes
    ----------
    layer : the layer's name
    parts : lines or rings: (N, 2) float64 each, as shares of the tile's width, from its north-west
    """

    layer: str
    shape: Shape
    parts: list[NDArray[np.float64]]


def features(tile: bytes) -> Iterator[Feature]:
    """The lines and areas of a tile; points are left out.

    Raises
    ------
    ValueError
        The tile is damaged.
    """
    for number, layer in _fields(tile):
        if number == _LAYERS and isinstance(layer, bytes):
            fields = list(_fields(layer))
            names = [value for key, value in fields if key == _NAME and isinstance(value, bytes)]
            extent = next((value for key, value in fields if key == _EXTENT), 4096)
            name = names[0].decode(errors="replace") if names else ""
            for key, value in fields:
                if key == _FEATURES and isinstance(value, bytes) and isinstance(extent, int):
                    yield from _feature(name, value, extent)


def _feature(layer: str, content: bytes, extent: int) -> Iterator[Feature]:
    fields = dict(_fields(content))
    shape, geometry = fields.get(_SHAPE), fields.get(_GEOMETRY)
    known = next((item for item in Shape if item == shape), None)
    if known and isinstance(geometry, bytes) and extent > 0:
        yield Feature(layer, known, [np.array(part, float) / extent for part in _parts(geometry)])


def _parts(geometry: bytes) -> Iterator[list[tuple[int, int]]]:
    """The points of each line or ring."""
    values = _varints(geometry)
    x = y = 0
    part: list[tuple[int, int]] = []
    for command in values:
        if command & 7 == _CLOSE:
            continue
        for _ in range(command >> 3):
            if command & 7 == _MOVE:
                if len(part) >= _MIN_POINTS:
                    yield part
                part = []
            x, y = x + _signed(next(values)), y + _signed(next(values))
            part.append((x, y))
    if len(part) >= _MIN_POINTS:
        yield part


def _varints(content: bytes) -> Iterator[int]:
    """Numbers of seven bits per byte, lowest first."""
    at = 0
    while at < len(content):
        value, at = _varint(content, at)
        yield value


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a Protobuf message; fixed-size numbers are left out."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                value, at = _varint(message, at)
                yield key >> 3, value
            case 1:
                at += 8
            case 2:
                length, at = _varint(message, at)
                if at + length > len(message):
                    raise ValueError("a field ends after its message")
                yield key >> 3, message[at : at + length]
                at += length
            case 5:
                at += 4
            case kind:
                raise ValueError(f"a field of the unknown type {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004  # the highest bit says that more bytes follow
            return value, at
    raise ValueError("a number ends after its message")
