"""Imports in MongoDB: a document per run, per published event, per undo, and per undone frame."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pymongo import UpdateOne

from services.contracts.codec import decode, stored
from services.contracts.events import FrameAnnotated, PredictionsMade
from services.contracts.identity import DetectorId, FrameId, ImportId
from services.contracts.topics import GROUND_TRUTH, PREDICTIONS
from services.domain.ports.imports import (
    ImportItem,
    ImportKind,
    ImportRun,
    ImportSummary,
    Part,
    Undo,
)
from services.runtime.stores.mongo import (
    Database,
    Document,
    beginning,
    insert_new,
    translated,
    write,
)
from services.runtime.stores.unreadable import readable


class MongoImports:
    """The collections `imports`, `import_items`, `undos` and `undone_frames`."""

    def __init__(self, database: Database) -> None:
        self._runs = database["imports"]
        self._items = database["import_items"]
        self._undos = database["undos"]
        self._undone = database["undone_frames"]

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        with translated():
            await self._items.create_index("frame_id")
            await self._items.create_index("run")

    async def begin(self, run: ImportRun) -> None:
        fields = {"kind": run.kind.value, "name": run.name, "by": run.by, "at": run.at}
        await insert_new(self._runs, [{"_id": run.import_id, **fields}])

    async def note(self, import_id: ImportId, items: Sequence[ImportItem]) -> None:
        documents = [_document(import_id, item) for item in items]
        await insert_new(self._items, documents)
        later = [document for document in documents if document["revision"] > 1]
        await write(self._items, [update for item in later for update in _followed(item)])

    async def run(self, import_id: ImportId) -> ImportRun | None:
        with translated():
            found = await self._runs.find_one({"_id": import_id})
        return _run(found) if found else None

    async def all(self) -> Sequence[ImportSummary]:
        counting: list[Document] = [
            {"$group": {"_id": {"run": "$run", "part": "$part"}, "count": {"$sum": 1}}}
        ]
        with translated():
            runs = await self._runs.find().sort([("at", -1), ("_id", 1)]).to_list()
            groups = await (await self._items.aggregate(counting)).to_list()
            undos = await self._undos.find({"finished": True}).to_list()
        counts: defaultdict[str, dict[Part, int]] = defaultdict(dict)
        for group in groups:
            counts[group["_id"]["run"]][Part(group["_id"]["part"])] = group["count"]
        undone_at = {undo["_id"]: undo["at"] for undo in undos}
        return [
            ImportSummary(_run(run), counts[run["_id"]], undone_at.get(run["_id"])) for run in runs
        ]

    async def items_after(
        self, import_id: ImportId, after: str, limit: int
    ) -> tuple[Sequence[ImportItem], str]:
        where = beginning(f"{import_id} ")
        if after:
            where["_id"]["$gt"] = after
        with translated():
            page = await self._items.find(where).sort("_id", 1).to_list(limit)
        return readable("import_items", page, _item), page[-1]["_id"] if page else after

    async def request(self, undo: Undo) -> None:
        again = {"by": undo.by, "at": undo.at, "after": "", "finished": False, "keeps": undo.keeps}
        with translated():
            # An unfinished undo keeps its place.
            await self._undos.update_one({"_id": undo.target, "finished": True}, {"$set": again})
        await insert_new(self._undos, [{"_id": undo.target, **again}])

    async def pass_over(self, undone: Sequence[ImportItem]) -> None:
        replaced = {_revised(item, item.revision): item.previous for item in undone}
        frame_ids = list({item.frame_id for item in undone})
        with translated():
            page = await self._items.find(
                {"frame_id": {"$in": frame_ids}, "previous": {"$exists": True}}
            ).to_list()
        updates = []
        for key, where in readable("import_items", page, _replacing):
            if key in replaced:
                updates.append(UpdateOne(where, _with_previous(replaced[key])))
        await write(self._items, updates)

    async def undo_of(self, target: ImportId | DetectorId) -> Undo | None:
        with translated():
            found = await self._undos.find_one({"_id": target})
        return _undo(found) if found else None

    async def unfinished(self) -> Sequence[Undo]:
        with translated():
            found = await self._undos.find({"finished": False}).sort("at", 1).to_list()
        return [_undo(item) for item in found]

    async def advance(self, undo: Undo) -> None:
        await self._update(undo, {"after": undo.after})

    async def finish(self, undo: Undo) -> None:
        await self._update(undo, {"after": "", "finished": True})

    async def _update(self, undo: Undo, fields: Mapping[str, Any]) -> None:
        with translated():
            await self._undos.update_one({"_id": undo.target, "at": undo.at}, {"$set": fields})

    async def mark_undone(self, frame_ids: Collection[FrameId], tag: str) -> None:
        updates = [
            UpdateOne({"_id": frame_id}, {"$set": {"tag": tag}}, upsert=True)
            for frame_id in frame_ids
        ]
        await write(self._undone, updates)

    async def undone(self, frame_ids: Collection[FrameId]) -> Mapping[FrameId, str]:
        with translated():
            found = await self._undone.find({"_id": {"$in": list(frame_ids)}}).to_list()
        return {document["_id"]: document["tag"] for document in found}


def _document(import_id: ImportId, item: ImportItem) -> Document:
    key = f"{import_id} {item.part} {item.frame_id} {item.detector or ''}".rstrip()
    document: Document = {
        "_id": key,
        "run": import_id,
        "part": item.part.value,
        "frame_id": item.frame_id,
        "revision": item.revision,
    }
    if item.detector is not None:
        document["detector"] = item.detector
    if item.previous is not None:
        document["previous"] = stored(item.previous)
    return document


def _followed(document: Document) -> Iterator[UpdateOne]:
    """Replace an earlier revision that the same run noted; the first update that matches does."""
    key, revision = {"_id": document["_id"]}, document["revision"]
    yield UpdateOne(key | {"revision": revision - 1}, {"$set": {"revision": revision}})
    changed: Document = {"$set": {"revision": revision}}
    if "previous" in document:
        changed["$set"]["previous"] = document["previous"]
    else:
        changed["$unset"] = {"previous": ""}
    yield UpdateOne(key | {"revision": {"$lt": revision}}, changed)


def _revised(item: ImportItem, revision: int) -> tuple[str, ...]:
    """The name of a revision of a part."""
    return item.part, item.frame_id, item.detector or "", str(revision)


def _replacing(document: Document) -> tuple[tuple[str, ...], Document]:
    """The revision that an item replaced, and a filter on it, unless its run published again."""
    item = _item(document)
    assert item.previous is not None
    where = {"_id": document["_id"], "previous": document["previous"]}
    return _revised(item, item.previous.revision), where


def _with_previous(previous: PredictionsMade | FrameAnnotated | None) -> Document:
    if previous is None:
        return {"$unset": {"previous": ""}}
    return {"$set": {"previous": stored(previous)}}


def _item(document: Document) -> ImportItem:
    part, previous = Part(document["part"]), None
    if "previous" in document:
        topic = PREDICTIONS if part is Part.PREDICTIONS else GROUND_TRUTH
        found = decode(topic.name, document["previous"])
        assert isinstance(found, PredictionsMade | FrameAnnotated)
        previous = found
    return ImportItem(
        part, document["frame_id"], document["revision"], document.get("detector"), previous
    )


def _undo(document: Document) -> Undo:
    # Undos from before campaigns had ids have no `keeps`.
    keeps = document.get("keeps", False)
    return Undo(document["_id"], document["by"], document["at"], document["after"], keeps)


def _run(document: Document) -> ImportRun:
    return ImportRun(
        document["_id"],
        ImportKind(document["kind"]),
        document["name"],
        document["by"],
        document["at"],
    )
