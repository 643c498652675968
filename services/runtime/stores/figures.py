"""The history of each detector's figures, one row per change, for charts over time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from itertools import pairwise
from typing import Final, Protocol

from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable

MOST_SHOWN: Final = 400
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
        self, detector: str, start: datetime, most: int = MOST_SHOWN
    ) -> Sequence[Figures]:
        """The detector's figures since `start`, oldest first.

        They begin with the row that was in force at `start`, dated `start`, or with the first row
        after it. Where there are more than `most`, they are thinned evenly over time, not by
        number: a busy hour has as many as a quiet one. The latest row is always there.
        """
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

    async def since(self, at: datetime) -> Sequence[Figures]:
        with translated():
            found = await self._figures.find({"at": {"$gte": at}}).sort("at", 1).to_list()
        return readable("figures", found, _figures)

    async def detectors(self) -> Sequence[str]:
        with translated():
            return sorted(await self._figures.distinct("detector"))

    async def history(
        self, detector: str, start: datetime, most: int = MOST_SHOWN
    ) -> Sequence[Figures]:
        own: Document = {"detector": detector}
        shown: Document = {**own, "at": {"$gte": start}}
        with translated():
            before = await self._figures.find_one({**own, "at": {"$lt": start}}, sort=[("at", -1)])
            in_force = [before | {"at": start}] if before else []
            if await self._figures.count_documents(shown, limit=most) < most:
                found = await self._figures.find(shown).sort("at", 1).to_list()
            else:
                first = in_force or await self._figures.find(shown).sort("at", 1).to_list(1)
                in_force, found = first, await self._thinned(own, first[0]["at"], most - 1)
        return readable("figures", [*in_force, *found], _figures)

    async def _thinned(self, own: Document, after: datetime, parts: int) -> list[Document]:
        """The last row of each of some equal parts of the time between a row and the latest."""
        [latest] = await self._figures.find(own, {"at": 1}).sort("at", -1).to_list(1)
        width = (latest["at"] - after) / parts
        ends = [*(after + width * part for part in range(1, parts)), latest["at"]]
        parts_of_time = [{"after": a, "end": b} for a, b in pairwise([after, *ends])]
        # One search of the index per part: a busy detector has two million rows in a year.
        pipeline: list[Document] = [
            # One document, to be replaced: stages without a collection need another privilege.
            {"$match": own},
            {"$limit": 1},
            {"$project": {"part": {"$literal": parts_of_time}}},
            {"$unwind": "$part"},
            {
                "$lookup": {
                    "from": self._figures.name,
                    "let": {"after": "$part.after", "end": "$part.end"},
                    "pipeline": [
                        {"$match": {**own, "$expr": _IN_PART}},
                        {"$sort": {"at": -1}},
                        {"$limit": 1},
                    ],
                    "as": "rows",
                }
            },
            {"$unwind": "$rows"},
            {"$replaceRoot": {"newRoot": "$rows"}},
        ]
        return await (await self._figures.aggregate(pipeline)).to_list()


_IN_PART: Document = {"$and": [{"$gt": ["$at", "$$after"]}, {"$lte": ["$at", "$$end"]}]}


def _values(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in ("_id", "at")}


def _figures(document: Document) -> Figures:
    # Older rows lack the fields that were added later.
    return Figures(
        **{item.name: document[item.name] for item in fields(Figures) if item.name in document}
    )
