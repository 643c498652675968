"""Migrates the stores from version 1 to version 2.

Version 1 kept a frame with all its events in one document, and a match per category. Its
collections are renamed, read in order of `_id`, and stay until they are dropped. Every document is
written whole, unless one with its `_id` is there: a part that is migrated twice is the same, and
one that is migrated late replaces nothing newer. A checkpoint per step records where a stopped run
continues.
"""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson.timestamp import Timestamp
from pymongo import UpdateOne

from services.contracts import version_1
from services.contracts.codec import stored
from services.contracts.errors import StoresNotMigrated
from services.contracts.events import FrameAnnotated, FrameCaptured, FrameEmbedded, PredictionsMade
from services.contracts.identity import Category, NeedleId
from services.contracts.matches import MatchRevisions
from services.runtime.stores.frame_documents import (
    captured_fields,
    prediction_fields,
    truth_fields,
)
from services.runtime.stores.matches_mongo import match_fields
from services.runtime.stores.mongo import (
    Database,
    Document,
    field_name,
    insert_new,
    pair_id,
    translated,
)
from services.runtime.stores.store_version import STORE_VERSION, note_version, store_version
from services.runtime.stores.unreadable import readable

_AT_ONCE: Final = 200
_CHECKPOINTS: Final = "migration"
OLD_FRAMES: Final = "frames_v1"
OLD_MATCHES: Final = "matches_v1"
_RENAMED: Final = {"frames": OLD_FRAMES, "matches": OLD_MATCHES}
_OLD_INDEXES: Final = {
    # By which groups were counted before these had a field of their own; and the one of categories
    # without the stages of review.
    "needles": re.compile(
        r"state\.active_1_detector_1_.*"
        r"|state\.active_1_needle\.category_1_needle\.score_-1__id_-1"
    ),
    # Without the id, by which those of the same time are ordered.
    "reviews": re.compile("at_-1"),
    "audit": re.compile("at_1"),
    # Without the detector, by which unknown categories are counted.
    "matches": re.compile("categories_1"),
}
"""The names of indexes that others have replaced, by collection."""


@dataclass(frozen=True)
class Progress:
    """How far a step of the migration is.

    Attributes
    ----------
    unreadable : documents that were left where they are, because they cannot be read
    """

    step: str
    done: int
    total: int
    unreadable: int = 0


OnProgress = Callable[[Progress], None]


async def planned(database: Database) -> dict[str, int] | None:
    """How many documents of each collection are to be migrated; None if nothing is.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    if (await store_version(database) or STORE_VERSION) >= STORE_VERSION:
        return None
    existing = await _collections(database)
    counts = {}
    with translated():
        for name, old in _RENAMED.items():
            source = old if old in existing else name
            counts[name] = await database[source].estimated_document_count()
    return counts


async def migrate(database: Database, on_progress: OnProgress = lambda _: None) -> bool:
    """Migrate what is stored; returns whether anything was migrated.

    Frames that could not be read stay in the old collection, and are migrated by a later call once
    somebody has corrected them.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer; a second run continues.
    """
    if await planned(database) is None:
        return await _migrate_left(database)
    existing = await _collections(database)
    with translated():
        for name, old in _RENAMED.items():
            if name in existing and old not in existing:
                await database[name].rename(old)
    for step, write in (("frames", _write_frames), ("matches", _write_matches)):
        async for progress in _run(database, step, write):
            on_progress(progress)
    await note_version(database)
    with translated():
        await database[_CHECKPOINTS].drop()
    return True


async def _migrate_left(database: Database) -> bool:
    """Migrate frames that could not be read before; returns whether any can be now."""
    if await store_version(database) != STORE_VERSION:
        return False
    migrated = 0
    async for documents in _left(database):
        migrated += len(documents) - await _write_frames(database, documents)
        await _write_matches(database, documents)
    return migrated > 0


async def unmigrated(database: Database) -> int:
    """The number of frames that only the old collection has, because they cannot be read.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    """
    return sum([len(documents) async for documents in _left(database)])


async def _left(database: Database) -> AsyncIterator[list[Document]]:
    """The frames that only the old collection has: an erasure deletes them from both."""
    old, frames = database[OLD_FRAMES], database["frames"]
    with translated():
        found = old.find({}, {"_id": 1}).sort("_id", 1)
        while page := await found.to_list(_AT_ONCE):
            ids = {document["_id"] for document in page}
            left = ids.difference(await frames.distinct("_id", {"_id": {"$in": [*ids]}}))
            if left:
                yield await old.find({"_id": {"$in": [*left]}}).to_list()


async def drop_old(database: Database) -> list[str]:
    """Drop what older versions left, once it is migrated; returns the names of it.

    These are collections of version 1, and indexes that others have replaced.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    StoresNotMigrated
        Some frames could not be read, and the old collection has their only copy.
    """
    if await store_version(database) != STORE_VERSION:
        return []
    if left := await unmigrated(database):
        raise StoresNotMigrated(
            f"{left:,} frames cannot be read, and {OLD_FRAMES} has their only copy: correct them"
            " there and migrate again, or erase them, before the old documents are dropped"
        )
    leftover = sorted(await _collections(database) & set(_RENAMED.values()))
    with translated():
        for name in leftover:
            await database[name].drop()
        for name, old in _OLD_INDEXES.items():
            for index in filter(old.fullmatch, await database[name].index_information()):
                await database[name].drop_index(index)
                leftover.append(f"{name}.{index}")
    return leftover


async def _collections(database: Database) -> set[str]:
    with translated():
        return set(await database.list_collection_names())


Write = Callable[[Database, Sequence[Document]], Any]


async def _run(database: Database, step: str, write: Write) -> AsyncIterator[Progress]:
    """Migrate frame by frame, from the step's checkpoint."""
    old, checkpoints = database[OLD_FRAMES], database[_CHECKPOINTS]
    with translated():
        total = await old.estimated_document_count()
        mark = await checkpoints.find_one({"_id": step}) or {"done": 0, "unreadable": 0}
        done, unreadable = mark["done"], mark["unreadable"]
        while True:
            after = {"_id": {"$gt": mark["after"]}} if "after" in mark else {}
            documents = await old.find(after).sort("_id", 1).limit(_AT_ONCE).to_list()
            if not documents:
                break
            unreadable += await write(database, documents)
            done += len(documents)
            mark = {"after": documents[-1]["_id"], "done": done, "unreadable": unreadable}
            await checkpoints.update_one({"_id": step}, {"$set": mark}, upsert=True)
            yield Progress(step, done, total, unreadable)


async def _write_frames(database: Database, old: Sequence[Document]) -> int:
    """Write these frames, their predictions and embeddings; returns how many are unreadable."""
    sound = readable(OLD_FRAMES, old, _Frame.of)
    await _claim(database, sound)
    written = {
        "frames": [frame.document() for frame in sound],
        "predictions": [document for frame in sound for document in frame.predictions()],
        "embeddings": [frame.embedding() for frame in sound],
    }
    for name, documents in written.items():
        await insert_new(database[name], documents)
    return len(old) - len(sound)


async def _claim(database: Database, frames: Iterable["_Frame"]) -> None:
    """Note the original of frames that were stored before images were compared."""
    images = {
        frame.captured.image.sha256: frame.frame_id
        for frame in reversed(list(frames))
        if frame.captured and "original" not in frame.old
    }
    claims = [
        UpdateOne({"_id": sha256}, {"$setOnInsert": {"frame_id": frame_id}}, upsert=True)
        for sha256, frame_id in images.items()
    ]
    if not claims:
        return
    await database["pictures"].bulk_write(claims, ordered=False)
    found = await database["pictures"].find({"_id": {"$in": list(images)}}).to_list()
    originals = {document["_id"]: document["frame_id"] for document in found}
    for frame in frames:
        if frame.captured and "original" not in frame.old:
            frame.old["original"] = originals[frame.captured.image.sha256]


@dataclass(frozen=True)
class _Frame:
    """A frame as version 1 stored it, with its events read."""

    old: Document
    captured: FrameCaptured | None
    truth: FrameAnnotated | None
    made: Mapping[str, PredictionsMade]
    embedded: Mapping[str, FrameEmbedded]

    @classmethod
    def of(cls, old: Document) -> "_Frame":
        def event(kind: Any, part: Document | None) -> Any:
            return kind.model_validate(part["event"], extra="ignore") if part else None

        return cls(
            old,
            event(FrameCaptured, old.get("captured")),
            event(FrameAnnotated, old.get("ground_truth")),
            {n: event(PredictionsMade, part) for n, part in old.get("predictions", {}).items()},
            {n: event(FrameEmbedded, part) for n, part in old.get("embedded", {}).items()},
        )

    @property
    def frame_id(self) -> str:
        frame_id: str = self.old["_id"]
        return frame_id

    def document(self) -> Document:
        """The frame's document, with the digests and times that it had."""
        document: Document = {"_id": self.frame_id}
        if self.captured:
            document |= captured_fields(self.captured)
            document["captured_content"] = self.old["captured"]["content"]
        if self.truth:
            document |= truth_fields(self.truth)
            document["truth_content"] = self.old["ground_truth"]["content"]
        document["revisions"] = self.old.get("revisions", {})
        times = self.old.get("times", {})
        document |= {
            name: Timestamp(times[part], 0)
            for part, name in (("captured", "captured_stored"), ("ground_truth", "truth_stored"))
            if part in times
        }
        if self.old.get("original", self.frame_id) != self.frame_id:
            document["original"] = self.old["original"]
        return document

    def predictions(self) -> list[Document]:
        """A document for each detector version."""
        times = self.old.get("times", {}).get("predictions", {})
        return [
            {
                "_id": pair_id(predictions.frame_id, predictions.detector_id),
                **prediction_fields(predictions),
                "content": self.old["predictions"][name]["content"],
                **({"stored": Timestamp(times[name], 0)} if name in times else {}),
            }
            for name, predictions in self.made.items()
        ]

    def embedding(self) -> Document:
        """What the embedder keeps of the frame."""
        times = self.old.get("times", {}).get("embedded", {})
        done = {
            (detector, revision)
            for event in self.embedded.values()
            for detector, revision in event.predictions_revisions.items()
        }
        waiting = {
            name: stored(predictions)
            for name, predictions in self.made.items()
            if (predictions.detector_id, predictions.revision) not in done
        }
        return {
            "_id": self.frame_id,
            **({"captured": stored(self.captured)} if self.captured else {}),
            "made": {name: predictions.revision for name, predictions in self.made.items()},
            "waiting": waiting,
            "embedded": {
                name: {
                    "revision": sum(event.predictions_revisions.values()),
                    "regions": sum(map(len, event.regions.values())),
                    "event": stored(event),
                    **({"at": times[name]} if name in times else {}),
                }
                for name, event in self.embedded.items()
            },
        }


async def _write_matches(database: Database, frames: Sequence[Document]) -> int:
    """Write the matches of these frames; returns how many documents are unreadable."""
    ids = [document["_id"] for document in frames]
    old = await database[OLD_MATCHES].find({"frame_id": {"$in": ids}}).to_list()
    sound = readable(OLD_MATCHES, old, _Match.of)
    by_pair: defaultdict[str, list[_Match]] = defaultdict(list)
    for match in sound:
        by_pair[pair_id(match.event.frame_id, match.event.detector)].append(match)
    revisions = {document["_id"]: _revisions(document) for document in frames}
    documents = [
        _document(_id, matches, revisions[matches[0].event.frame_id])
        for _id, matches in by_pair.items()
    ]
    await insert_new(database["matches"], documents)
    return len(old) - len(sound)


@dataclass(frozen=True)
class _Match:
    """The match of one category as version 1 stored it."""

    old: Document
    event: version_1.FrameMatched

    @classmethod
    def of(cls, old: Document) -> "_Match":
        event = old["latest"]["event"]
        return cls(old, version_1.FrameMatched.model_validate(event, extra="ignore"))


def _revisions(frame: Document) -> dict[str, tuple[int, int]]:
    """The revisions of truth and predictions, by detector."""
    truth = frame.get("ground_truth", {}).get("revision", 0)
    return {name: (truth, part["revision"]) for name, part in frame.get("predictions", {}).items()}


def _document(
    _id: str, matches: Sequence[_Match], revisions: Mapping[str, tuple[int, int]]
) -> Document:
    """The document of a frame and detector, from those of its categories."""
    latest = max(matches, key=lambda match: match.event.revision)
    truth, predictions = revisions.get(field_name(latest.event.detector), (0, 0))
    known: dict[Category, list[NeedleId]] = {
        match.event.category: match.old["needles"] for match in matches
    }
    held = [m.event for m in matches if m.event.regions or any(m.event.ground_truths)]
    match = version_1.joined(latest.event, sorted(held, key=lambda event: event.category))
    parts = MatchRevisions(
        truth=truth,
        predictions=predictions,
        membership=max(0, latest.event.revision - truth - predictions),
    )
    if parts.total != latest.event.revision:  # predictions or truth came after the match
        parts = MatchRevisions(membership=latest.event.revision)
    times = [match.old["matched_at"] for match in matches if "matched_at" in match.old]
    return {
        "_id": _id,
        **match_fields(match.model_copy(update={"revisions": parts})),
        "categories": list(known),
        "needles": {field_name(category): ids for category, ids in known.items() if ids},
        **({"matched_at": max(times)} if times else {}),
    }
