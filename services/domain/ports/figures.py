"""The figure store's protocol: each detector's figures over time, for charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

MAX_SHOWN: Final = 400
"""Rows of a chart, which is about as many pixels wide."""


@dataclass(frozen=True)
class Figures:
    """One detector's figures at one time; None where a figure is undefined.

    Attributes
    ----------
    map : mean average precision by subset (`all`, `R`, `H`, `S`, `H-S`)
    queue : number of shortlists by review progress
    """

    detector: str
    at: datetime
    map: Mapping[str, float | None]
    found: float | None
    random_yield: float | None
    lift: float | None
    queue: Mapping[str, int]
    lowest_yield: float | None = None
    highest_yield: float | None = None
    gain: float | None = None
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """95% confidence intervals of yields, lift and gain, by their names in the report."""
    sampled: Mapping[str, float | None] = field(default_factory=dict)
    """Figures of the haystack estimated from drawn frames; their intervals are `sampled_…`."""


class FigureStore(Protocol):
    """Figures by detector and time."""

    async def add(self, figures: Figures) -> None:
        """Store a row, unless its values equal those of the detector's last row."""
        ...

    async def since(self, at: datetime) -> Sequence[Figures]:
        """Every row from this time on, oldest first."""
        ...

    async def detectors(self) -> Sequence[str]:
        """Every detector with a row, in alphabetical order."""
        ...

    async def history(
        self, detector: str, start: datetime, most: int = MAX_SHOWN
    ) -> Sequence[Figures]:
        """The detector's figures since `start`, oldest first.

        They begin with the row that was in force at `start`, dated `start`, or with the first row
        after it. Where there are more than `most`, they are thinned evenly over time, not by
        number: a busy hour has as many as a quiet one. The latest row is always there.
        """
        ...
