"""Lists of active needles, answered by MongoDB with indexes."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from datetime import UTC
from typing import Any

from services.annotation.ports.needle_filters import ANY_NEEDLE, NeedleFilter, Sort, Stage
from services.annotation.ports.needle_lists import (
    ListPosition,
    NeedleGroup,
    NeedleRow,
    Queue,
    ReviewWork,
)
from services.annotation.ports.reviews import Projection
from services.annotation.stores.tagged_needles import TaggedNeedles
from services.contracts.events import ErrorType
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId
from services.contracts.needles import NeedleFound
from services.domain.ports.needles import ReviewProgress
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.needles_mongo import GROUP_END, GROUP_FIELDS, REVIEW_WORK, WORK_COUNTS
from services.runtime.stores.unreadable import readable

_ROW = {
    "needle": 1,
    "review": 1,
    "candidates": 1,
    "mark.family": 1,
    "shortlist.revision": 1,
}
_SHOWN: Document = {"state.active": True, "needle.score": {"$gte": 0}}
"""Active needles whose NeedleFound is known; written so that an index alone can answer it."""
_ORDERS = {
    Sort.SCORE: ("needle.score", -1),
    Sort.NEWEST: ("needle.captured_at", -1),
    Sort.OLDEST: ("needle.captured_at", 1),
}


_ACTIVE = ("state.active", 1)
_GROUP_INDEX = [_ACTIVE, ("group", 1), ("mark.family", 1)]


class MongoNeedleLists:
    """Reads the collection `needles`."""

    def __init__(self, database: Database) -> None:
        self._needles = database["needles"]
        self._database = database

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            for sort in Sort:
                await self._needles.create_index(_index(sort))
            await self._needles.create_index("shortlist.event.candidates.frame_id")
            await self._needles.create_index([_ACTIVE, ("needle.drive_id", 1)])
            for field in ("listed", "to_review", "mark.family"):
                await self._needles.create_index(_marked(field))
            await self._needles.create_index(_CATEGORY_INDEX)
            await self._needles.create_index(_GROUP_INDEX)

    async def mark_older(self) -> None:
        unmarked = {"state.active": True, "group": None}
        with translated():
            await self._needles.update_many(unmarked, [{"$set": REVIEW_WORK}], hint=_GROUP_INDEX)

    async def page(
        self,
        wanted: NeedleFilter,
        sort: Sort,
        *,
        skip: int = 0,
        limit: int,
        after: NeedleFound | None = None,
    ) -> list[NeedleRow]:
        # Ids first: skipping ten thousand index keys is cheap, reading the documents is not.
        ids = await self.ids(wanted, sort, skip=skip, limit=limit, after=after)
        return await self.rows(ids)

    async def rows(self, needle_ids: Sequence[NeedleId]) -> list[NeedleRow]:
        places = {needle_id: place for place, needle_id in enumerate(needle_ids)}
        with translated():
            found = await self._needles.find({"_id": {"$in": [*needle_ids]}}, _ROW).to_list()
        found.sort(key=lambda document: places[document["_id"]])
        rows = readable("needles", found, _row)
        sizes = await self._family_sizes({row.family for row in rows if row.family})
        return [replace(row, relatives=sizes.get(row.family or "", 1) - 1) for row in rows]

    async def ids(
        self,
        wanted: NeedleFilter,
        sort: Sort,
        *,
        skip: int = 0,
        limit: int,
        after: NeedleFound | None = None,
    ) -> list[NeedleId]:
        field, direction = _ORDERS[sort]
        order = [(field, direction), ("_id", direction)]
        where = _where(wanted)
        if after is not None:
            where = {"$or": _beyond(where, sort, after, ahead=False)}
        if wanted.tag is not None:
            return await self._tagged(wanted.tag).ids(where, order, skip=skip, limit=limit)
        with translated():
            ids = self._needles.find(where, {"_id": 1}).sort(order).skip(skip).limit(limit)
            if wanted in _HINTED and after is None:
                # Without the hint, MongoDB tries the other indexes too: ten times as slow.
                ids = ids.hint(_hint(wanted, sort))
            return [NeedleId(document["_id"]) for document in await ids.to_list()]

    async def found(self, needle_id: NeedleId) -> NeedleFound | None:
        with translated():
            document = await self._needles.find_one({"_id": needle_id}, {"needle": 1})
        if document is None or "needle" not in document:
            return None
        return NeedleFound.model_validate(document["needle"], extra="ignore")

    async def count(self, wanted: NeedleFilter) -> int:
        where = _where(wanted)
        if wanted.tag is not None:
            return await self._tagged(wanted.tag).count(where)
        with translated():
            return await self._needles.count_documents(where)

    async def groups(self, wanted: NeedleFilter = ANY_NEEDLE) -> list[NeedleGroup]:
        if wanted.tag is not None:
            found = await self._tagged(wanted.tag).groups(_where(wanted))
        else:
            # The condition of filters is more than the index of groups can answer.
            where = {"state.active": True} if wanted == ANY_NEEDLE else _where(wanted)
            group = {"_id": {"group": "$group", "family": "$mark.family"}, "count": {"$sum": 1}}
            with translated():
                # Without a hint: the evaluator asks too, maybe before the review page has made
                # indexes.
                grouped = await self._needles.aggregate([{"$match": where}, {"$group": group}])
                found = await grouped.to_list()
        return _merged(kind for document in found if (kind := _group(document)) is not None)

    async def queue(self) -> Queue:
        waiting: Document = {
            **_where(NeedleFilter(stage=Stage.OPEN)),
            "shortlisted_at": {"$exists": True},
        }
        first = self._needles.find(waiting, {"shortlisted_at": 1}).sort("shortlisted_at", 1)
        with translated():
            found = await first.limit(1).to_list()
            hello = await self._needles.database.command("hello")
        return Queue(
            {stage: await self.count(NeedleFilter(stage=stage)) for stage in _QUEUED},
            found[0]["shortlisted_at"] if found else None,
            hello["localTime"].replace(tzinfo=UTC),
        )

    async def place(self, wanted: NeedleFilter, sort: Sort, row: NeedleFound) -> ListPosition:
        field, direction = _ORDERS[sort]
        where = _where(wanted)
        if wanted.tag is not None:
            order = [(field, direction), ("_id", direction)]
            key = (_value(sort, row), row.needle_id)
            return await self._tagged(wanted.tag).place(where, order, field, key)
        before = _beyond(where, sort, row, ahead=True)
        after = _beyond(where, sort, row, ahead=False)
        with translated():
            neighbours = asyncio.gather(
                self._nearest({"$or": after}, field, direction),
                self._nearest({"$or": before}, field, -direction),
            )
            # Separate counts, because an index alone can answer each but not their union.
            counted = (self._needles.count_documents(document) for document in (where, *before))
            (following, previous), (total, *counts) = await asyncio.gather(
                neighbours, asyncio.gather(*counted)
            )
        return ListPosition(previous, following, sum(counts), total)

    async def of_frame(self, frame_id: FrameId) -> list[NeedleRow]:
        with translated():
            found = await self._needles.find({**_SHOWN, "frame_id": frame_id}, _ROW).to_list()
        return readable("needles", found, _row)

    async def naming(self, frame_id: FrameId, limit: int = 50) -> list[NeedleRow]:
        where = {**_SHOWN, "shortlist.event.candidates.frame_id": frame_id}
        with translated():
            found = await self._needles.find(where, _ROW).limit(limit).to_list()
        return readable("needles", found, _row)

    def _tagged(self, tag: str) -> TaggedNeedles:
        return TaggedNeedles(self._database, tag)

    async def _family_sizes(self, families: Collection[str]) -> dict[str, int]:
        """The number of active needles of each of these families."""
        if not families:
            return {}
        pipeline: list[Document] = [
            {"$match": {"state.active": True, "mark.family": {"$in": [*families]}}},
            {"$group": {"_id": "$mark.family", "count": {"$sum": 1}}},
        ]
        with translated():
            found = await (await self._needles.aggregate(pipeline)).to_list()
        return {document["_id"]: document["count"] for document in found}

    async def _nearest(self, where: Document, field: str, direction: int) -> NeedleId | None:
        order = [(field, direction), ("_id", direction)]
        found = await self._needles.find(where, {"_id": 1}).sort(order).limit(1).to_list()
        return NeedleId(found[0]["_id"]) if found else None


_QUEUED = (Stage.OPEN, Stage.STARTED, Stage.DONE, Stage.EXTENDED)
"""Every shortlist has exactly one of these stages."""
_HINTED = (ANY_NEEDLE, NeedleFilter(stage=Stage.LISTED))


def _hint(wanted: NeedleFilter, sort: Sort) -> list[tuple[str, int]]:
    every = wanted.stage is None or sort is not Sort.SCORE
    return _index(sort) if every else _marked("listed")


def _index(sort: Sort) -> list[tuple[str, int]]:
    order = _ORDERS[sort]
    return [_ACTIVE, order, ("_id", order[1])]


def _marked(field: str) -> list[tuple[str, int]]:
    return [_ACTIVE, (field, 1), *_index(Sort.SCORE)[1:]]


_CATEGORY_INDEX = [*_marked("needle.category"), ("listed", 1), ("to_review", 1)]
"""With the stages, so that counting a category's shortlists reads no needle."""


def _beyond(where: Document, sort: Sort, row: NeedleFound, *, ahead: bool) -> list[Document]:
    """Two disjoint conditions that together find the needles before this one, or after it."""
    field, direction = _ORDERS[sort]
    value = _value(sort, row)
    comparison = "$gt" if ahead == (direction == -1) else "$lt"
    return [
        {**where, field: {comparison: value}},
        {**where, field: value, "_id": {comparison: row.needle_id}},
    ]


def _value(sort: Sort, row: NeedleFound) -> float | str:
    """What a list is sorted by."""
    if sort is Sort.SCORE:
        return row.score
    captured_at: str = row.model_dump(mode="json")["captured_at"]
    return captured_at


def _where(wanted: NeedleFilter) -> Document:
    where: dict[str, Any] = dict(_SHOWN)
    named = {
        "needle.category": wanted.category,
        "needle.error_type": wanted.error_type and wanted.error_type.value,
        "needle.true_category": wanted.true_category,
        "detector": wanted.detector,
        "needle.drive_id": wanted.drive,
        "mark.family": wanted.family,
    }
    where |= {field: {"$eq": value} for field, value in named.items() if value is not None}
    return where | (_BY_STAGE[wanted.stage] if wanted.stage else {})


_BY_STAGE: dict[Stage, Document] = {
    Stage.LISTED: {"listed": True},
    Stage.UNLISTED: {"listed": False},
    Stage.TODO: {"to_review": True},
    Stage.OPEN: {
        "to_review": True,
        "review.progress": {"$in": [None, ReviewProgress.OPEN.value]},
    },
    Stage.STARTED: {"to_review": True, "review.progress": ReviewProgress.STARTED.value},
    Stage.DONE: {
        "listed": True,
        "to_review": False,
        "review.progress": ReviewProgress.DONE.value,
    },
    Stage.EXTENDED: {"to_review": True, "review.progress": ReviewProgress.DONE.value},
}


def _row(document: Document) -> NeedleRow:
    review = _projection(document.get("review"))
    revision = document.get("shortlist", {}).get("revision", 0)
    done = review is not None and review.progress is ReviewProgress.DONE
    return NeedleRow(
        needle=NeedleFound.model_validate(document["needle"], extra="ignore"),
        candidates=document["candidates"],
        review=review,
        extended=review is not None and done and revision > review.shortlist_revision,
        family=document.get("mark", {}).get("family"),
    )


def _projection(part: Document | None) -> Projection | None:
    if part is None:
        return None
    known = {field.name: part[field.name] for field in fields(Projection) if field.name in part}
    return Projection(**{**known, "progress": ReviewProgress(part["progress"])})


def _merged(groups: Iterable[NeedleGroup]) -> list[NeedleGroup]:
    """The groups without regard to what distinguishes them only by their work."""
    merged: dict[NeedleGroup, NeedleGroup] = {}
    for group in groups:
        key = replace(group, count=0, work=ReviewWork())
        known = merged.get(key, key)
        merged[key] = replace(key, count=known.count + group.count, work=known.work + group.work)
    return list(merged.values())


def _work(text: str, needles: int) -> ReviewWork:
    """The work of needles that all have the same."""
    candidates, to_review, *decided = map(int, text.split())
    # A shortlist may have become shorter since it was reviewed.
    counts = dict(zip(WORK_COUNTS, (min(count, candidates) for count in decided), strict=True))
    one = {
        "shortlists": int(candidates > 0),
        "to_review": to_review,
        "frames": candidates,
        **counts,
    }
    return ReviewWork(**{name: count * needles for name, count in one.items()})


def _group(document: Document) -> NeedleGroup | None:
    """A group of needles; None where their NeedleFound, or what `mark_older` sets, is missing."""
    key, count = document["_id"], document["count"]
    *parts, work = (key.get("group") or GROUP_END * len(GROUP_FIELDS)).split(GROUP_END)
    detector, category, error_type, true_category, progress = parts
    if not category:
        return None
    return NeedleGroup(
        detector=DetectorId(detector),
        category=Category(category),
        error_type=ErrorType(error_type),
        true_category=Category(true_category) if true_category else None,
        family=key.get("family"),
        progress=ReviewProgress(progress or ReviewProgress.OPEN),
        count=count,
        work=_work(work, count),
    )
