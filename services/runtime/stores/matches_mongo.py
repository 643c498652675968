"""Matches in MongoDB: one document per detector, category and frame."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, cast

import numpy as np
from bson import decode_all, encode

from services.contracts import version_1
from services.contracts.events import NeedleFound, Split
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId, VehicleId
from services.contracts.matches import CategoryMatched, FrameMatched, categories_of
from services.domain.detection.coco import FloatArray, IntArray
from services.domain.detection.error_types import TYPES
from services.domain.metrics.index_layout import microseconds
from services.domain.metrics.match_columns import Cells, NamedColumns, Names
from services.domain.metrics.subsets import part_of
from services.domain.ports.frames import Pair
from services.domain.ports.matches import KnownCategories, Revised
from services.runtime.stores.bson_columns import BsonColumns, one_ahead
from services.runtime.stores.mongo import (
    Database,
    Document,
    literal,
    newest,
    parsed,
    time_of,
    translated,
    upsert,
    write,
)
from services.runtime.stores.unreadable import READ_ERRORS, readable

_AT_ONCE = 50_000  # documents per batch; MongoDB limits a batch to 16 MB
_SCANNED = 1000
_COUNTED: Final = (
    *("detector", "category", "frame_id", "vehicle_id", "captured_at", "revision", "split"),
    *("shortlisted", "scores", "matched", "ignored", "overlaps", "errors", "ground_truths"),
)
"""The fields of a match that mAP needs."""
_SPLITS: Final = tuple(split.value for split in Split)
_WORDS: Final = tuple(error.value for error in TYPES)


class MongoMatchStore:
    """The collection `matches`."""

    def __init__(self, database: Database) -> None:
        self._matches = database["matches"]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._matches.create_index("frame_id")
            await self._matches.create_index(
                [("detector", 1), ("category", 1), ("latest.split", 1)]
            )
            await self._matches.create_index("matched_at")
            # Reference matches are a tenth of all, and failure models and families read them all.
            await self._matches.create_index(
                "latest.split", partialFilterExpression={"latest.split": Split.REFERENCE.value}
            )

    async def record(
        self, matches: Sequence[FrameMatched], needles: Iterable[NeedleFound] = ()
    ) -> None:
        found_in = defaultdict(list)
        for needle in needles:
            found_in[needle.frame_id, needle.detector, needle.category].append(needle.needle_id)
        updates = []
        for match in map(version_1.FrameMatched.of, categories_of(matches)):
            latest = {
                "revision": match.revision,
                "split": match.split.value,
                "event": match.model_dump(mode="json"),
            }
            known = {"$ifNull": ["$needles", []]}
            found = literal(sorted(found_in[match.frame_id, match.detector, match.category]))
            assignments = {
                "latest": newest("latest", match.revision, latest),
                "matched_at": time_of("latest", match.revision, "matched_at"),
                "detector": literal(match.detector),
                "category": literal(match.category),
                "frame_id": literal(match.frame_id),
                "needles": {"$setUnion": [known, found]},
            }
            updates.append(upsert(match.key(), assignments))
        await write(self._matches, updates)

    async def known(self, pairs: Collection[Pair]) -> dict[Pair, KnownCategories]:
        fields = {"frame_id": 1, "detector": 1, "category": 1, "needles": 1}
        where = {"frame_id": {"$in": list({frame_id for frame_id, _ in pairs})}}
        with translated():
            found = await self._matches.find(where, fields).to_list()
        known: dict[Pair, dict[Category, frozenset[NeedleId]]] = {}
        for document in found:
            pair = document["frame_id"], document["detector"]
            if pair in pairs:
                categories = known.setdefault(pair, {})
                categories[document["category"]] = frozenset(document["needles"])
        return dict(known)

    async def load(self, frame_ids: Collection[FrameId]) -> list[CategoryMatched]:
        where = {"frame_id": {"$in": list(frame_ids)}}
        with translated():
            found = await self._matches.find(where, {"latest.event": 1}).sort("_id", 1).to_list()
        return readable("matches", found, _event)

    async def scan(
        self,
        *,
        detector: DetectorId | None = None,
        categories: Collection[Category] | None = None,
        split: Split | None = None,
    ) -> AsyncIterator[CategoryMatched]:
        where: dict[str, Any] = {}
        if detector is not None:
            where["detector"] = detector
        if categories is not None:
            where["category"] = {"$in": list(categories)}
        if split is not None:
            where["latest.split"] = split.value
        with translated():
            found = self._matches.find(where, {"latest.event": 1}, batch_size=_SCANNED)
            async for some in parsed(found, _event, _SCANNED):
                for match in some:
                    yield match

    async def revised_since(self, at: datetime) -> set[Revised]:
        fields = {"frame_id": 1, "detector": 1, "category": 1, "latest.revision": 1}
        revised: set[Revised] = set()
        with translated():
            found = self._matches.find({"matched_at": {"$gte": at}}, fields)
            async for some in parsed(found, _revised, _SCANNED):
                revised.update(some)
        return revised

    async def counted(self, categories: Collection[Category]) -> AsyncIterator[NamedColumns]:
        where = {"category": {"$in": list(categories)}}
        fields = {"_id": 0, **{f"latest.event.{name}": 1 for name in _COUNTED}}
        with translated():
            found = self._matches.find_raw_batches(where, fields, batch_size=_AT_ONCE)
            # The driver declares its raw batches as documents, but they are bytes.
            raw = one_ahead(cast(AsyncIterator[bytes], found))
            # A pipeline of three: MongoDB sends one batch, one is parsed, the caller has one.
            async for columns in one_ahead(_read(raw)):
                yield columns

    async def categories(self) -> list[Category]:
        with translated():
            return sorted(await self._matches.distinct("category"))


def _event(document: Document) -> CategoryMatched:
    event = version_1.FrameMatched.model_validate(document["latest"]["event"], extra="ignore")
    (match,) = categories_of([event.upgraded()])
    return match


def _revised(document: Document) -> Revised:
    return Revised(
        document["frame_id"],
        document["detector"],
        document["category"],
        document["latest"]["revision"],
    )


async def _read(batches: AsyncIterator[bytes]) -> AsyncIterator[NamedColumns]:
    async for raw in batches:
        yield await asyncio.to_thread(_readable_columns, raw)


def _readable_columns(raw: bytes) -> NamedColumns:
    """The columns of the readable documents; documents are checked one by one only on an error."""
    try:
        return _columns(raw)
    except READ_ERRORS:
        return _columns(b"".join(readable("matches", map(_named, decode_all(raw)), _checked)))


def _named(document: Document) -> Document:
    """The document with its `_id`, which the projection leaves out."""
    event = document.get("latest", {}).get("event", {})
    names = (event.get(name) for name in ("detector", "category", "frame_id"))
    return {"_id": "|".join(map(str, names)), **document}


def _checked(document: Document) -> bytes:
    """The document's bytes; raises if the document alone cannot be read."""
    raw = encode({name: value for name, value in document.items() if name != "_id"})
    _columns(raw)
    return raw


def _columns(raw: bytes) -> NamedColumns:
    """The columns of some documents, without validation: they were valid when written."""
    columns = BsonColumns(raw, _COUNTED, _WORDS)
    sizes, scores = columns.lists("scores")
    for name in ("overlaps", "matched", "ignored", "errors"):
        if not np.array_equal(columns.lists(name)[0], sizes):
            raise ValueError(f"a match has other {name} than scores")
    cells = Cells(
        part=_parts(columns.mapped("split", _SPLITS.index), columns.numbers("shortlisted")),
        captured=columns.mapped("captured_at", _moment),
        revision=columns.numbers("revision").astype(np.int64),
        truths=columns.lists("ground_truths")[1].astype(np.int64).reshape(-1, 4),
        starts=np.append(0, np.cumsum(sizes)),
        scores=scores,
        overlaps=columns.lists("overlaps")[1],
        matched=columns.lists("matched")[1].astype(np.uint64),
        ignored=columns.lists("ignored")[1].astype(np.uint64),
        errors=columns.lists("errors")[1].astype(np.int64),
    )
    return NamedColumns(
        cast(Names[DetectorId], Names(*columns.spelled("detector"))),
        cast(Names[Category], Names(*columns.spelled("category"))),
        cast(Names[FrameId], Names(*columns.spelled("frame_id"))),
        cast(Names[VehicleId], Names(*columns.spelled("vehicle_id"))),
        cells,
    )


def _moment(text: str) -> int:
    return microseconds(datetime.fromisoformat(text))


def _parts(splits: IntArray, shortlisted: FloatArray) -> IntArray:
    """(N,) int64, the part of each match's frame."""
    known = [
        [part_of(split, shortlisted=shortlisted) for shortlisted in (False, True)]
        for split in Split
    ]
    return np.array(known, np.int64)[splits, shortlisted.astype(np.int64)]
