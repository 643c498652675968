"""Whether a vehicle stands still, by its track or by its pictures."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.formats.readers.track import Track

_STILL_M = 1.0
_STILL_LEVELS = 1.5
"""Mean difference of two grey pictures, of 256 levels, below which the vehicle stood still."""
_SIGHT = (64, 36)
"""Size at which pictures are compared."""


class Standstill:
    """Whether the vehicle still is where it was at the last chosen picture.

    The track decides where it covers both pictures, and the pictures themselves elsewhere.
    """

    def __init__(self, track: Track | None) -> None:
        self._track = track
        self._metres: float | None = None
        self._sight: NDArray[np.int16] | None = None

    def lasts(self, at: float, picture: Image.Image) -> bool:
        """Whether it lasts until this picture; if not, the picture counts as chosen.

        Parameters
        ----------
        at : when it was captured, in seconds since 1970
        """
        sight = _sight(picture)
        metres = None if self._track is None else self._track.measured_at(at)
        if metres is not None and self._metres is not None:
            still = metres - self._metres < _STILL_M
        else:
            still = self._sight is not None and _are_alike(sight, self._sight)
        if not still:
            self._sight = sight
        if not still or self._metres is None:
            # Noted also where the track begins during a standstill, so that it decides from there.
            self._metres = metres
        return still


def _are_alike(one: NDArray[np.int16], other: NDArray[np.int16]) -> bool:
    return float(np.abs(one - other).mean()) < _STILL_LEVELS


def _sight(picture: Image.Image) -> NDArray[np.int16]:
    return np.asarray(picture.convert("L").resize(_SIGHT, Image.Resampling.BOX), np.int16)
