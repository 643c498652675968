"""The history of each detector's figures in MongoDB, one row per change."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from itertools import pairwise

from services.domain.ports.figures import MAX_SHOWN, Figures
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.unreadable import readable


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
        self, detector: str, start: datetime, most: int = MAX_SHOWN
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
