"""A table whose rows belong to frames."""

from collections.abc import Collection, KeysView
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.contracts.identity import FrameId
from services.domain.arrays import IntArray
from services.domain.detection.grouping import ranges

Rows = NDArray[Any]
_FIRST: Final = 1 << 32
"""A frame's place is its first row times this, plus the number of its rows: one integer takes 32
bytes, a tuple of two takes 120."""


class FrameRows:
    """A table with any number of rows per frame; a frame's rows may be replaced or removed.

    All rows are in one buffer: an array per frame would take 112 bytes besides its rows. Replaced
    and removed rows leave holes, which are closed once they are more than half of the buffer.

    Parameters
    ----------
    dtype : of a row
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._dtype = dtype
        self._buffer = bytearray()
        self._places: dict[FrameId, int] = {}
        self._holes = 0

    @property
    def frame_ids(self) -> KeysView[FrameId]:
        """The frames in the table, also those without rows."""
        return self._places.keys()

    def of(self, frame_ids: Collection[FrameId]) -> tuple[Rows, IntArray]:
        """The rows of these frames, which are in the table.

        Returns
        -------
        (N,) the rows, in the order of the frames
        (F,) int64, the number of each frame's rows
        """
        places = np.fromiter((self._places[i] for i in frame_ids), np.int64, len(frame_ids))
        firsts, counts = np.divmod(places, _FIRST)
        return np.frombuffer(self._buffer, self._dtype)[ranges(firsts, counts)], counts

    def put(self, frame_id: FrameId, *parts: Rows) -> None:
        """Add a frame with the rows of these parts, or replace its rows by them."""
        self.drop(frame_id)
        first = self._size()
        for rows in parts:
            self._buffer += rows.tobytes()
        self._places[frame_id] = first * _FIRST + self._size() - first

    def drop(self, frame_id: FrameId) -> None:
        """Remove a frame, if it is in the table."""
        first, count = divmod(self._places.pop(frame_id, 0), _FIRST)
        if first + count == self._size():
            del self._buffer[first * self._dtype.itemsize :]
        else:
            self._holes += count
        if 2 * self._holes > self._size():
            self._close_holes()

    def _size(self) -> int:
        """The number of rows, holes included."""
        return len(self._buffer) // self._dtype.itemsize

    def _close_holes(self) -> None:
        rows, counts = self.of(self.frame_ids)
        places = (np.cumsum(counts) - counts) * _FIRST + counts
        self._places = dict(zip(self._places, places.tolist(), strict=True))
        self._buffer = bytearray(rows.tobytes())
        self._holes = 0
