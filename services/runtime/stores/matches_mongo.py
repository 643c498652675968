"""Matches in MongoDB: one document per detector, category and frame."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import Any

from services.contracts.events import FrameMatched, Split
from services.contracts.identity import Category, DetectorId, FrameId, NeedleId
from services.domain.match_summary import MatchSummary
from services.runtime.stores.mongo import (
    Database,
    Document,
    literal,
    newest,
    translated,
    upsert,
    write,
)

_CHUNK = 5000
_SUMMARY = tuple(field.name for field in dataclass_fields(MatchSummary))


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

    async def record(
        self, matches: Sequence[FrameMatched], needles: Mapping[str, Collection[NeedleId]]
    ) -> None:
        updates = []
        for match in matches:
            latest = {
                "revision": match.revision,
                "split": match.split.value,
                "event": match.model_dump(mode="json"),
            }
            known = {"$ifNull": ["$needles", []]}
            found = literal(sorted(needles.get(match.key(), ())))
            assignments = {
                "latest": newest("latest", match.revision, latest),
                "detector": literal(match.detector),
                "category": literal(match.category),
                "frame_id": literal(match.frame_id),
                "needles": {"$setUnion": [known, found]},
            }
            updates.append(upsert(match.key(), assignments))
        await write(self._matches, updates)

    async def known(
        self, frame_ids: Collection[FrameId]
    ) -> dict[tuple[FrameId, DetectorId, Category], frozenset[NeedleId]]:
        fields = {"frame_id": 1, "detector": 1, "category": 1, "needles": 1}
        with translated():
            found = await self._matches.find(
                {"frame_id": {"$in": list(frame_ids)}}, fields
            ).to_list()
        return {
            (each["frame_id"], each["detector"], each["category"]): frozenset(each["needles"])
            for each in found
        }

    async def load(self, frame_ids: Collection[FrameId]) -> list[FrameMatched]:
        where = {"frame_id": {"$in": list(frame_ids)}}
        with translated():
            found = await self._matches.find(where, {"latest.event": 1}).sort("_id", 1).to_list()
        return [_event(document) for document in found]

    async def scan(
        self,
        *,
        detector: DetectorId | None = None,
        categories: Collection[Category] | None = None,
        split: Split | None = None,
    ) -> AsyncIterator[FrameMatched]:
        where: dict[str, Any] = {}
        if detector is not None:
            where["detector"] = detector
        if categories is not None:
            where["category"] = {"$in": list(categories)}
        if split is not None:
            where["latest.split"] = split.value
        with translated():
            found = self._matches.find(where, {"latest.event": 1}, batch_size=1000)
            async for document in found:
                yield _event(document)

    async def summaries(
        self, categories: Collection[Category]
    ) -> AsyncIterator[Sequence[MatchSummary]]:
        where = {"category": {"$in": list(categories)}}
        fields = {f"latest.event.{name}": 1 for name in _SUMMARY}
        with translated():
            found = self._matches.find(where, fields, batch_size=_CHUNK)
            while chunk := await found.to_list(_CHUNK):
                yield [_summary(document["latest"]["event"]) for document in chunk]

    async def categories(self) -> list[Category]:
        with translated():
            return sorted(await self._matches.distinct("category"))


def _event(document: Document) -> FrameMatched:
    return FrameMatched.model_validate(document["latest"]["event"], extra="ignore")


def _summary(event: Document) -> MatchSummary:
    # Not validated again: it was when it was written, and that would take most of the time.
    said = {**event, "split": Split(event["split"])}
    said["captured_at"] = datetime.fromisoformat(event["captured_at"])
    return MatchSummary(**said)
