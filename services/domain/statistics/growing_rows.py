"""An append-only array."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MIN_ROWS = 16
_Number = TypeVar("_Number", bound=np.generic)


class GrowingRows(Generic[_Number]):
    """An append-only array of equal rows; capacity doubles, so appending rarely copies.

    Parameters
    ----------
    dtype : of the array
    """

    def __init__(self, dtype: type[_Number]) -> None:
        self._held: NDArray[_Number] = np.empty(0, dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> NDArray[_Number]:
        """(N, …), a writable view, valid until the next `add`."""
        return self._held[: self._count]

    def add(self, row: ArrayLike) -> None:
        """Append a row; the first row determines the shape of all."""
        if self._count == len(self._held):
            shape = (max(_MIN_ROWS, 2 * self._count), *np.shape(row))
            grown = np.zeros(shape, self._held.dtype)
            if self._count:
                grown[: self._count] = self._held
            self._held = grown
        self._held[self._count] = row
        self._count += 1
