"""The needles of one mode with their vectors, and the state of their shortlists."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.contracts.identity import NeedleId
from services.domain.mining.ranking import Vectors
from services.domain.statistics.growing_rows import GrowingRows

_SIMILARITY_DECIMALS = 6
"""Cosines that are equal to this many decimals tie; smaller differences are float noise."""


class NeedleRows:
    """Needles by row. A shortlist is closed while empty, open with room for more, or full."""

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
        """All needles."""
        return list(self._rows)

    def vectors(self) -> Vectors:
        """(M, D) float32, the vectors of all needles, in the order of `ids`."""
        return np.asarray(self._vectors.rows[list(self._rows.values())])

    def id_of(self, row: int) -> NeedleId:
        """The needle of a row."""
        return self._ids[row]

    def row_of(self, needle: NeedleId) -> int:
        """The row of a needle."""
        return self._rows[needle]

    def add(self, needle: NeedleId, vector: Vectors) -> None:
        """Append a needle; its shortlist is closed."""
        row = len(self._ids)
        self._ids.append(needle)
        self._rows[needle] = row
        self._vectors.add(vector)
        self._closed.add(False)
        self.close(row)

    def remove(self, needle: NeedleId) -> None:
        """Remove a needle."""
        row = self._rows.pop(needle)
        self.fill(row)

    def close(self, row: int) -> None:
        """Mark a shortlist as empty."""
        self._open.pop(row, None)
        closed = self._closed.rows
        self._closed_count += not closed[row]
        closed[row] = True

    def open(self, row: int) -> None:
        """Mark a shortlist as not empty, with room for more."""
        closed = self._closed.rows
        self._closed_count -= bool(closed[row])
        closed[row] = False
        self._open[row] = None

    def fill(self, row: int) -> None:
        """Mark a shortlist as full."""
        self.open(row)
        del self._open[row]

    def any_waiting(self) -> bool:
        """Whether any shortlist has room."""
        return bool(self._open) or self._closed_count > 0

    def opened(self) -> list[int]:
        """The rows of open shortlists."""
        return list(self._open)

    def similarity(self, row: int, vector: Vectors) -> float:
        """Cosine of a needle and a region."""
        return float(self._vectors.rows[row] @ vector)

    def most_similar_of(self, rows: Sequence[int], vector: Vectors) -> int:
        """The one of these rows that is most similar to a region; of equals, the first."""
        if len(rows) == 1:
            return rows[0]
        similarities = _similarities(self._vectors.rows[list(rows)], vector)
        return min(
            zip(rows, similarities.tolist(), strict=True), key=lambda row: (-row[1], row[0])
        )[0]

    def most_similar_closed(self, vector: Vectors) -> int | None:
        """The closed row whose needle is most similar to a region; None if no row is closed."""
        if not self._closed_count:
            return None
        similarities = _similarities(self._vectors.rows, vector)
        return int(np.where(self._closed.rows, similarities, -np.inf).argmax())


def _similarities(vectors: Vectors, vector: Vectors) -> NDArray[np.float64]:
    """Cosines, rounded so that float noise does not break ties."""
    return np.round((vectors @ vector).astype(float), _SIMILARITY_DECIMALS)
