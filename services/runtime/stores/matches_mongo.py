"""Matches in MongoDB: one document per frame and detector version.

The columns of its groups are kept as the bytes of the event, so that a rebuild joins them and
reads each kind at once.
"""

import asyncio
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final, TypeVar, cast

import bson
import numpy as np
import orjson
from pymongo import UpdateOne

from services.contracts.events import Split
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId, VehicleId
from services.contracts.matches import (
    CategoryMatched,
    FrameMatched,
    MatchGroups,
    MatchRevisions,
    categories_of,
)
from services.contracts.missed import MissedAnnotations
from services.contracts.needles import NeedleFound
from services.domain.arrays import IntArray
from services.domain.metrics.index_layout import microseconds
from services.domain.metrics.match_columns import Cells, NamedColumns, Names
from services.domain.metrics.subsets import part_of
from services.domain.ports.frames import Pair
from services.domain.ports.matches import KnownCategories, Revised
from services.runtime.stores.bson_columns import BsonColumns
from services.runtime.stores.categories_mongo import matched_categories
from services.runtime.stores.mongo import (
    Database,
    Document,
    field_name,
    literal,
    pair_id,
    parsed,
    translated,
    write,
)
from services.runtime.stores.tombstones_mongo import TOMBSTONES
from services.runtime.stores.unreadable import READ_ERRORS, readable

T = TypeVar("T", bound=str)

_AT_ONCE: Final = 2_000  # documents per batch, about 1.5 MB; 10,000 take 1.2 times as long
_SCANNED: Final = 1000
_LISTED: Final = 100
_BYTES: Final = ("bboxes", "scores", "matched", "ignored", "overlaps", "errors")
_COUNTED: Final = (
    *("detector", "frame_id", "vehicle_id", "captured_us", "revision", "split", "shortlisted"),
    *(f"groups.{name}" for name in ("categories", "sizes", "ground_truths")),
    *(f"groups.{name}" for name in _BYTES if name != "bboxes"),
)
"""The fields of a match that mAP needs."""
_FRAME_ORDER: Final = {"detector": 1, "frame_id": 1}
_NATURAL: Final = [("$natural", 1)]


class MongoMatchStore:
    """The collection `matches`."""

    def __init__(self, database: Database) -> None:
        self._matches = database["matches"]
        self._tombstones = database[TOMBSTONES]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            for field in ("frame_id", "matched_at"):
                await self._matches.create_index(field)
            # Which detectors predict a category is read from the index alone, and the matches of a
            # detector with a rare category by it.
            await self._matches.create_index([("categories", 1), ("detector", 1)])
            # A list of a detector's frames reads no match of another one. A match costs MongoDB 2%
            # more with it.
            await self._matches.create_index([*_FRAME_ORDER.items()])
            # Reference matches are a tenth of all, and failure models and families read them all.
            await self._matches.create_index(
                "split", partialFilterExpression={"split": Split.REFERENCE.value}
            )

    async def record(
        self, matches: Sequence[FrameMatched], needles: Iterable[NeedleFound] = ()
    ) -> dict[Pair, KnownCategories]:
        found: defaultdict[Pair, defaultdict[Category, list[NeedleId]]]
        found = defaultdict(lambda: defaultdict(list))
        for needle in needles:
            found[needle.frame_id, needle.detector][needle.category].append(needle.needle_id)
        pairs = [(match.frame_id, match.detector) for match in matches]
        updates = [_update(match, found[pair]) for pair, match in zip(pairs, matches, strict=True)]
        # Written first and read then, so that no needle of another process is overlooked.
        await write(self._matches, updates)
        return await self.known(pairs)

    async def known(self, pairs: Collection[Pair]) -> dict[Pair, KnownCategories]:
        where = {"_id": {"$in": [pair_id(*pair) for pair in pairs]}}
        fields = dict.fromkeys(("frame_id", "detector", "categories", "needles"), 1)
        with translated():
            found = await self._matches.find(where, fields).to_list()
        return {(item["frame_id"], item["detector"]): _known(item) for item in found}

    async def load(self, frame_ids: Collection[FrameId]) -> list[CategoryMatched]:
        with translated():
            found = await self._matches.find({"frame_id": {"$in": list(frame_ids)}}).to_list()
        matches = await asyncio.to_thread(readable, "matches", found, _match)
        return sorted(
            categories_of(matches),
            key=lambda match: (match.detector, match.category, match.frame_id),
        )

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
            where["categories"] = {"$in": list(categories)}
        if split is not None:
            where["split"] = split.value
        with translated():
            found = self._matches.find(where, batch_size=_SCANNED)
            if categories is None and split is not Split.REFERENCE:
                # An index would read most documents one by one, in the order of its keys.
                found = found.hint(_NATURAL)
            async for page in parsed(found, _match, _SCANNED):
                for match in categories_of(page):
                    if categories is None or match.category in categories:
                        yield match

    async def in_frame_order(
        self,
        detector: DetectorId,
        *,
        categories: Collection[Category] | None = None,
        after: FrameId | None = None,
    ) -> AsyncIterator[CategoryMatched]:
        where: Document = {"detector": detector}
        if categories is not None:
            where["categories"] = {"$in": list(categories)}
        if after is not None:
            where["frame_id"] = {"$gt": after}
        with translated():
            found = self._matches.find(where, batch_size=_LISTED, allow_disk_use=True)
            found = found.sort("frame_id", 1)
            if categories is None:
                # By the index that has the order: the reader stops after a page. With categories
                # MongoDB tries both indexes: a rare one is found by its own, and sorted.
                found = found.hint([*_FRAME_ORDER.items()])
            async for page in parsed(found, _match, _LISTED):
                for match in categories_of(page):
                    if categories is None or match.category in categories:
                        yield match

    async def reference_frames(self) -> set[FrameId]:
        found = self._matches.find({"split": Split.REFERENCE.value}, {"frame_id": 1})
        with translated():
            return {item["frame_id"] async for item in found}

    async def revised_since(self, at: datetime) -> set[Revised]:
        # The last minute of a stream is read repeatedly, so read only the fields in use.
        fields = dict.fromkeys(("frame_id", "detector", "revision"), 1)
        revised: set[Revised] = set()
        with translated():
            found = self._matches.find({"matched_at": {"$gte": at}}, fields)
            async for page in parsed(found, _revised, _SCANNED):
                revised.update(page)
        return revised

    async def erasures(self) -> int:
        with translated():
            swept = await self._tombstones.count_documents({"swept": True})
            # Once more when fp_miner has confirmed that it has none of them any longer.
            return swept + await self._tombstones.count_documents({"frame_id": {"$exists": False}})

    async def counted(self, categories: Collection[Category]) -> AsyncIterator[NamedColumns]:
        where = {"categories": {"$in": list(categories)}}
        fields = {"_id": 1, **dict.fromkeys(_COUNTED, 1)}
        wanted = frozenset(categories)
        with translated():
            # A frame has several categories: their index would name it for each, in their order.
            found = self._matches.find_raw_batches(
                where, fields, batch_size=_AT_ONCE, hint=_NATURAL
            )
            # The driver declares that these are documents.
            async for raw in _read_ahead(cast(AsyncIterator[bytes], found)):
                yield await asyncio.to_thread(_readable_columns, raw, wanted)

    async def categories(self) -> list[Category]:
        return await matched_categories(self._matches)


async def _read_ahead(batches: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same batches, each of them read while the caller processes the one before."""
    reading = asyncio.ensure_future(anext(batches, None))
    try:
        while (batch := await reading) is not None:
            reading = asyncio.ensure_future(anext(batches, None))
            yield batch
    finally:
        reading.cancel()


def _update(match: FrameMatched, needles: Mapping[Category, Sequence[NeedleId]]) -> UpdateOne:
    """Replace an older match, and add to the categories and needles of all matches.

    A pipeline, because it does both at once, and MongoDB finds a document faster by `_id` alone
    than by a filter that compares revisions too.
    """
    known: dict[str, list[Any]] = {"categories": list(match.groups.categories)}
    known |= {f"needles.{field_name(category)}": list(ids) for category, ids in needles.items()}
    added = {
        path: {"$setUnion": [{"$ifNull": [f"${path}", []]}, literal(items)]}
        for path, items in known.items()
    }
    newer = {"$gt": [match.revision, {"$ifNull": ["$revision", 0]}]}
    replaced = {
        "$mergeObjects": ["$$ROOT", literal(match_fields(match)), {"matched_at": "$$NOW"}],
    }
    stages: list[Document] = [
        {"$set": added},
        {"$replaceWith": {"$cond": [newer, replaced, "$$ROOT"]}},
    ]
    return UpdateOne({"_id": pair_id(match.frame_id, match.detector)}, stages, upsert=True)


def match_fields(match: FrameMatched) -> Document:
    """What replaces an older match; the categories and needles of all matches stand beside it."""
    return {
        "frame_id": match.frame_id,
        "detector": match.detector,
        "revision": match.revision,
        "revisions": match.revisions.model_dump(),
        "split": match.split.value,
        "shortlisted": match.shortlisted,
        "reannotated": match.reannotated,
        "vehicle_id": match.vehicle_id,
        "drive_id": match.drive_id,
        # Not a date: MongoDB's have milliseconds.
        "captured_us": microseconds(match.captured_at),
        "iou_type": match.iou_type,
        # Pairs, because MongoDB gives dots and dollars in a field's name a meaning.
        "tags": list((match.tags or {}).items()),
        "groups": _packed(match.groups),
    }


def _packed(groups: MatchGroups) -> Document:
    missed = groups.missed
    return {
        "categories": list(groups.categories),
        "sizes": array("i", groups.sizes).tobytes(),
        "ground_truths": array("i", chain.from_iterable(groups.ground_truths)).tobytes(),
        "regions": orjson.dumps(groups.regions),
        "true_categories": orjson.dumps(groups.true_categories),
        **{name: getattr(groups, name) for name in _BYTES},
        "missed": missed and missed.model_dump_json().encode(),
    }


def _known(document: Document) -> dict[Category, frozenset[NeedleId]]:
    needles = document.get("needles", {})
    return {
        category: frozenset(needles.get(field_name(category), ()))
        for category in document.get("categories", ())
    }


def _match(document: Document) -> FrameMatched:
    """The stored match, with an empty group for each category that vanished."""
    packed = document["groups"]
    missed = packed["missed"]
    truths = array("i", packed["ground_truths"])
    groups = MatchGroups(
        categories=packed["categories"],
        sizes=array("i", packed["sizes"]).tolist(),
        ground_truths=[truths[at : at + 4].tolist() for at in range(0, len(truths), 4)],
        regions=orjson.loads(packed["regions"]),
        true_categories=orjson.loads(packed["true_categories"]),
        missed=missed and MissedAnnotations.model_validate_json(missed),
        **{name: packed[name] for name in _BYTES},
    )
    return FrameMatched(
        frame_id=document["frame_id"],
        detector=document["detector"],
        revisions=MatchRevisions(**document["revisions"]),
        split=document["split"],
        shortlisted=document["shortlisted"],
        reannotated=document["reannotated"],
        vehicle_id=document["vehicle_id"],
        drive_id=document["drive_id"],
        captured_at=_EPOCH + timedelta(microseconds=document["captured_us"]),
        iou_type=document["iou_type"],
        # Documents of before have no tags.
        tags=dict(document.get("tags", ())) or None,
        groups=groups.with_vanished(document["categories"]),
    )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _revised(document: Document) -> Revised:
    return Revised(document["frame_id"], document["detector"], document["revision"])


def _readable_columns(raw: bytes, wanted: frozenset[Category]) -> NamedColumns:
    """The columns of the readable documents; they are checked one by one only on an error.

    Parameters
    ----------
    raw : BSON documents, one after the other
    """
    try:
        return _columns(raw, wanted)
    except READ_ERRORS:

        def checked(document: Document) -> bytes:
            encoded = bson.encode(document)
            _columns(encoded, wanted)
            return encoded

        return _columns(b"".join(readable("matches", bson.decode_all(raw), checked)), wanted)


def _columns(raw: bytes, wanted: frozenset[Category]) -> NamedColumns:
    """The columns of the wanted categories, without validation: they were valid when written."""
    found = BsonColumns(raw, [path.rpartition(".")[2] for path in _COUNTED])
    counts, categories = found.string_lists("categories")
    document_of = np.repeat(np.arange(len(found)), counts)
    sizes = found.joined("sizes", "<i4")
    cells = Cells(
        part=_parts(found)[document_of],
        captured=found.integers("captured_us")[document_of],
        revision=found.integers("revision")[document_of],
        truths=found.joined("ground_truths", "<i4").astype(np.int64).reshape(-1, 4),
        starts=np.append(0, np.cumsum(sizes, dtype=np.int64)),
        scores=found.joined("scores", "<f8"),
        overlaps=found.joined("overlaps", "<f8"),
        matched=found.joined("matched", "<u8"),
        ignored=found.joined("ignored", "<u8"),
        errors=found.joined("errors", "u1"),
    )
    _check(cells, sizes.size)
    columns = NamedColumns(
        _as(DetectorId, found.strings("detector")).taken(document_of),
        _as(Category, categories),
        _as(FrameId, found.strings("frame_id")).taken(document_of),
        _as(VehicleId, found.strings("vehicle_id")).taken(document_of),
        cells,
    )
    return columns.of_categories(wanted.__contains__)


def _parts(found: BsonColumns) -> IntArray:
    """(N,) int64, the part of each document's frame."""
    splits, shortlisted = found.strings("split"), found.integers("shortlisted")
    parts = [[part_of(Split(s), shortlisted=of) for of in (False, True)] for s in splits.values]
    return np.array(parts, np.int64).reshape(-1, 2)[splits.codes, shortlisted]


def _as(kind: Callable[[str], T], names: Names[str]) -> Names[T]:
    return Names([kind(name) for name in names.values], names.codes)


def _check(cells: Cells, groups: int) -> None:
    rows = {len(cells.scores), len(cells.overlaps), len(cells.matched)}
    rows |= {len(cells.ignored), len(cells.errors), int(cells.starts[-1])}
    if len(rows) != 1 or {len(cells.part), len(cells.truths)} != {groups}:
        raise ValueError("a match's columns differ in length")
