"""The history of each detector's figures, one row per change, for charts over time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Protocol

from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable


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

    async def since(self, at: datetime, limit: int = 20_000) -> Sequence[Figures]:
        """The last `limit` rows from this time on, oldest first."""
        ...


class MongoFigureStore:
    """The collection `figures`."""

    def __init__(self, database: Database) -> None:
        self._figures = database["figures"]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._figures.create_index([("detector", 1), ("at", -1)])
            await self._figures.create_index([("at", 1)])

    async def add(self, figures: Figures) -> None:
        document = asdict(figures)
        with translated():
            last = await self._figures.find_one({"detector": figures.detector}, sort=[("at", -1)])
            if last is None or _values(last) != _values(document):
                await self._figures.insert_one(document)

    async def since(self, at: datetime, limit: int = 20_000) -> Sequence[Figures]:
        with translated():
            found = await self._figures.find({"at": {"$gte": at}}).sort("at", -1).to_list(limit)
        return readable("figures", reversed(found), _figures)


def _values(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in ("_id", "at")}


def _figures(document: Document) -> Figures:
    # Older rows lack the fields that were added later.
    return Figures(
        **{item.name: document[item.name] for item in fields(Figures) if item.name in document}
    )
