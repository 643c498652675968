"""The needles of one mode with their vectors: who has a shortlist, whom a region resembles."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.contracts.identity import NeedleId
from services.domain.mining.ranking import Vectors
from services.domain.statistics.growing_rows import GrowingRows

_SIMILARITY_DECIMALS = 6
"""What is equal to here is a tie; beyond it lies rounding."""


class NeedleRows:
    """Needles by row. A shortlist is closed while it is empty, then open, then full."""

    def __init__(self) -> None:
        self._ids: list[NeedleId] = []
        self._rows: dict[NeedleId, int] = {}
        self._vectors = GrowingRows(np.float32)
        self._closed = GrowingRows(np.bool_)
        self._closed_count = 0
        self._open: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def ids(self) -> list[NeedleId]:
        """All of them."""
        return list(self._rows)

    def vectors(self) -> Vectors:
        """(M, D) float32, of all of them."""
        return np.asarray(self._vectors.rows[list(self._rows.values())])

    def id_of(self, row: int) -> NeedleId:
        """The needle of a row."""
        return self._ids[row]

    def row_of(self, needle: NeedleId) -> int:
        """The row of a needle."""
        return self._rows[needle]

    def add(self, needle: NeedleId, vector: Vectors) -> None:
        """Put a needle at the end, its shortlist closed."""
        row = len(self._ids)
        self._ids.append(needle)
        self._rows[needle] = row
        self._vectors.add(vector)
        self._closed.add(False)
        self.close(row)

    def remove(self, needle: NeedleId) -> None:
        """Take a needle out."""
        row = self._rows.pop(needle)
        self.fill(row)

    def close(self, row: int) -> None:
        """Its shortlist is empty."""
        self._open.pop(row, None)
        closed = self._closed.rows
        self._closed_count += not closed[row]
        closed[row] = True

    def open(self, row: int) -> None:
        """Its shortlist has something on it, and room for more."""
        closed = self._closed.rows
        self._closed_count -= bool(closed[row])
        closed[row] = False
        self._open[row] = None

    def fill(self, row: int) -> None:
        """Its shortlist takes no more."""
        self.open(row)
        del self._open[row]

    def any_waiting(self) -> bool:
        """Whether any shortlist takes more."""
        return bool(self._open) or self._closed_count > 0

    def opened(self) -> list[int]:
        """The rows of open shortlists."""
        return list(self._open)

    def similarity(self, row: int, vector: Vectors) -> float:
        """Cosine of a needle and a region."""
        return float(self._vectors.rows[row] @ vector)

    def most_similar_of(self, rows: Sequence[int], vector: Vectors) -> int:
        """Of these, the row most similar to a region; of equals, the first."""
        if len(rows) == 1:
            return rows[0]
        alike = _alike(self._vectors.rows[list(rows)], vector)
        return min(zip(rows, alike.tolist(), strict=True), key=lambda row: (-row[1], row[0]))[0]

    def most_similar_closed(self, vector: Vectors) -> int | None:
        """The row of the closed shortlist whose needle is most similar; none if all are open."""
        if not self._closed_count:
            return None
        alike = _alike(self._vectors.rows, vector)
        return int(np.where(self._closed.rows, alike, -np.inf).argmax())


def _alike(vectors: Vectors, vector: Vectors) -> NDArray[np.float64]:
    """Cosines, equal where they differ by rounding alone."""
    return np.round((vectors @ vector).astype(float), _SIMILARITY_DECIMALS)
