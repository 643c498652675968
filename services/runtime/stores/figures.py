"""How the figures went: one row per look, so that a page can draw them over time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Protocol

from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable


@dataclass(frozen=True)
class Figures:
    """What was true of one detector at one time; None where nothing is defined.

    Attributes
    ----------
    map : by subset (`all`, `R`, `H`, `S`, `H-S`), mean average precision
    queue : needles by the progress of their review
    """

    detector: str
    at: datetime
    map: Mapping[str, float | None]
    found: float | None
    random_yield: float | None
    lift: float | None
    queue: Mapping[str, int]
    lowest_yield: float | None = None
    gain: float | None = None
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """95% of yields, lift and gain, by their names in the report."""


class FigureStore(Protocol):
    """Figures by detector and time."""

    async def add(self, figures: Figures) -> None:
        """Keep a row, unless it says what the last one said."""
        ...

    async def since(self, at: datetime, limit: int = 20_000) -> Sequence[Figures]:
        """All rows from this time on, the last `limit` of them, oldest first."""
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
            if last is None or _said(last) != _said(document):
                await self._figures.insert_one(document)

    async def since(self, at: datetime, limit: int = 20_000) -> Sequence[Figures]:
        with translated():
            found = await self._figures.find({"at": {"$gte": at}}).sort("at", -1).to_list(limit)
        return readable("figures", reversed(found), _figures)


def _said(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in ("_id", "at")}


def _figures(document: Document) -> Figures:
    # Older rows lack what was added since.
    return Figures(
        **{
            Figure.name: document[Figure.name]
            for Figure in fields(Figures)
            if Figure.name in document
        }
    )
