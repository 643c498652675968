"""A plane that touches the earth at a place: metres east and north of it, for maps of a city."""

import math
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[np.float64])
_METRES_PER_DEGREE: Final = 111_320.0
_SCALES: Final = [m * 10**e for e in range(1, 7) for m in (1, 2, 5)]
"""Lengths of scale bars, in metres."""


@dataclass(frozen=True)
class LocalPlane:
    """The plane that touches the earth at this latitude and longitude, in degrees."""

    lat: float
    lon: float

    def metres(self, lat: Number, lon: Number) -> tuple[Number, Number]:
        """How far east and north a place is."""
        turned = (lon - self.lon + 180) % 360 - 180  # the shorter way, also across the date line
        east = _METRES_PER_DEGREE * math.cos(math.radians(self.lat))
        return turned * east, (lat - self.lat) * _METRES_PER_DEGREE

    def place(self, east: float, north: float) -> tuple[float, float]:
        """Latitude and longitude of a place, which may exceed 180."""
        lon = east / (_METRES_PER_DEGREE * math.cos(math.radians(self.lat)))
        return self.lat + north / _METRES_PER_DEGREE, self.lon + lon


def scale_bar(unit: float, longest: float) -> tuple[float, str]:
    """Length and label of a scale bar.

    Parameters
    ----------
    unit : units of the drawing per metre
    longest : in units of the drawing
    """
    fitting = [metres for metres in _SCALES if metres * unit <= longest]
    metres = fitting[-1] if fitting else _SCALES[0]
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"  # noqa: PLR2004
    return round(metres * unit, 1), text
