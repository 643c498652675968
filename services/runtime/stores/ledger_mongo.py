"""The ledger in MongoDB: one document per subject, with its newest contents by revision."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from services.contracts.errors import StoreUnavailable
from services.domain.ports.ledger import Entry
from services.runtime.stores.ledger_older import GAP, OlderContents, compacting, is_long
from services.runtime.stores.mongo import (
    Database,
    Document,
    literal,
    translated,
    upsert,
    write,
)


class MongoRevisionLedger:
    """The collection `revisions`.

    Parameters
    ----------
    broker : id of the broker whose acknowledgements count: Kafka's cluster id; for a broker that
        loses its records when it stops, a new id for every start
    """

    def __init__(self, database: Database, broker: str) -> None:
        self._revisions = database["revisions"]
        self._older = OlderContents(database)
        self._broker = broker

    async def assign(self, entries: Sequence[Entry]) -> list[int]:
        wanted = list(dict.fromkeys(entries))
        await self._write([_append(entry) for entry in wanted])
        revisions = await self._revisions_of(wanted)
        if elsewhere := [entry for entry in wanted if entry not in revisions]:
            revisions |= await self._assign_among_older(elsewhere)
        return [revisions[entry] for entry in entries]

    async def _assign_among_older(self, entries: Sequence[Entry]) -> dict[Entry, int]:
        """Revisions of contents that are not in their subjects' documents: moved, or new."""
        older = await self._older.load(entries)
        revisions = {
            entry: item.revision for entry, item in older.items() if item.revision is not None
        }
        new = [entry for entry in entries if entry not in revisions]
        await self._write([_append(entry, moved_too=False) for entry in new])
        return revisions | await self._revisions_of(new)

    async def _revisions_of(self, entries: Sequence[Entry]) -> dict[Entry, int]:
        """Revisions of the entries that are in their subjects' documents."""
        fields = {"digests": 1, "moved": 1}
        known = await self._find({entry.subject for entry in entries}, fields)
        await self._compact([item for item in known.values() if is_long(item)])
        return {
            entry: at + 1 + (document.get("moved", 0) if at else 0)
            for entry in entries
            if entry.digest in (document := known.get(entry.subject, {})).get("digests", ())
            for at in [document["digests"].index(entry.digest)]
        }

    async def _compact(self, documents: Sequence[Document]) -> None:
        whole = await self._find([item["_id"] for item in documents], {}) if documents else {}
        for subject, document in whole.items():
            await self._older.keep(subject, document)
            await write(self._revisions, compacting(document))

    async def first(self, subjects: Collection[str]) -> dict[str, str]:
        found = await self._find(subjects, {"digests": {"$slice": 1}})
        firsts = {subject: document.get("digests") for subject, document in found.items()}
        return {subject: digests[0] for subject, digests in firsts.items() if digests}

    async def assign_next(self, entry: Entry, after: int) -> bool:
        await self._write([_append_after(entry, after)])
        known = await self._find([entry.subject], {"digests": 1, "moved": 1})
        digests, moved = known[entry.subject]["digests"], known[entry.subject].get("moved", 0)
        if moved and 0 < after <= moved:
            older = (await self._older.load([entry])).get(entry)
            return older is not None and older.revision == after + 1
        at = after - moved if after else 0
        return bool(len(digests) > at and digests[at] == entry.digest)

    async def latest(self, subjects: Collection[str]) -> dict[str, int]:
        if not subjects:
            return {}
        number = {"$size": {"$ifNull": ["$digests", []]}}
        found = await self._find(subjects, {"moved": 1, "number": number})
        revisions = {name: item["number"] + item.get("moved", 0) for name, item in found.items()}
        return {name: revision for name, revision in revisions.items() if revision}

    async def assign_unless_newer(self, entry: Entry, after: int) -> int | None:
        known = await self._revisions_of([entry])
        if entry in known:
            return known[entry]
        older = (await self._older.load([entry])).get(entry)
        if older is not None and older.revision is not None:
            return older.revision
        return after + 1 if await self.assign_next(entry, after) else None

    async def returns(self, way: str, entries: Sequence[Entry]) -> list[int]:
        counts: dict[int, int] = {}
        field = f"said.{way}"
        while left := [at for at in range(len(entries)) if at not in counts]:
            first = {entries[at].subject: at for at in reversed(left)}  # one per subject and round
            await self._write([_submit(field, entries[at]) for at in first.values()])
            known = await self._find(first, {field: 1, "said_moved": 1})
            moved = [entries[at] for s, at in first.items() if known[s].get("said_moved")]
            older = await self._older.load(moved)
            for subject, at in first.items():
                submissions, entry = known[subject]["said"][way], entries[at]
                if submissions[-1] == entry.digest:  # else another process was faster: try again
                    before = older[entry].submitted.get(way, 0) if entry in older else 0
                    counts[at] = submissions.count(entry.digest) - 1 + before
            await self._compact([document for document in known.values() if is_long(document)])
        return [counts[at] for at in range(len(entries))]

    async def confirm(self, entries: Collection[Entry]) -> None:
        digests = defaultdict(list)
        for subject, digest in entries:
            digests[subject].append(digest)
        await self._write([self._acknowledge(*item) for item in digests.items()])

    async def published(self, entries: Collection[Entry]) -> set[Entry]:
        known = await self._acknowledged({entry.subject for entry in entries})
        published = {
            entry
            for entry in entries
            if entry.digest in known.get(entry.subject, {}).get("published", ())
        }
        moved = {entry for entry in entries if known.get(entry.subject, {}).get("moved")}
        older = await self._older.load(moved - published)
        return published | {entry for entry, item in older.items() if item.broker == self._broker}

    async def known(self, subjects: Collection[str]) -> set[str]:
        found = await self._find(subjects, {"broker": 1})
        return {subject for subject, document in found.items() if "broker" in document}

    def _acknowledge(self, subject: str, digests: list[str]) -> UpdateOne:
        before = {"$cond": [{"$eq": ["$broker", literal(self._broker)]}, "$published", []]}
        published = {"$setUnion": [before, literal(digests)]}
        return upsert(subject, {"published": published, "broker": literal(self._broker)})

    async def _acknowledged(self, subjects: Collection[str]) -> dict[str, Document]:
        found = await self._find(subjects, {"broker": 1, "published": 1, "moved": 1})
        await self._compact([item for item in found.values() if is_long(item)])
        return {
            subject: document
            for subject, document in found.items()
            if document.get("broker") == self._broker
        }

    async def _find(self, subjects: Collection[str], fields: Document) -> dict[str, Document]:
        query: dict[str, Any] = {"_id": {"$in": list(subjects)}}
        with translated():
            found = await self._revisions.find(query, fields).to_list()
        return {document["_id"]: document for document in found}

    async def _write(self, updates: Sequence[UpdateOne]) -> None:
        try:
            await write(self._revisions, updates)
        except StoreUnavailable as exc:
            if not isinstance(exc.__cause__, BulkWriteError):
                raise
            # Two writers created one subject's document; the loser now finds the other's.
            await write(self._revisions, updates)


def _submit(field: str, entry: Entry) -> UpdateOne:
    submissions = {"$ifNull": [f"${field}", []]}
    repeated = {"$eq": [{"$last": submissions}, literal(entry.digest)]}
    appended = {"$concatArrays": [submissions, literal([entry.digest])]}
    return upsert(entry.subject, {field: {"$cond": [repeated, submissions, appended]}})


def _append(entry: Entry, *, moved_too: bool = True) -> UpdateOne:
    """Append a content, unless it is there or may have moved.

    Parameters
    ----------
    moved_too : if the subject has moved contents, assume that this may be one of them
    """
    known = {"$ifNull": ["$digests", []]}
    digest = literal(entry.digest)
    appended = {
        "$cond": [
            {"$or": [{"$in": [digest, known]}, {"$gt": [{"$ifNull": ["$moved", 0]}, 0]}]}
            if moved_too
            else {"$in": [digest, known]},
            known,
            {"$concatArrays": [known, literal([entry.digest])]},
        ]
    }
    return upsert(entry.subject, {"digests": appended})


def _append_after(entry: Entry, after: int) -> UpdateOne:
    known = {"$ifNull": ["$digests", []]}
    size = {"$add": [{"$size": known}, {"$ifNull": ["$moved", 0]}]}
    # Placeholders represent revisions that were published without the ledger.
    gap = {"$map": {"input": {"$range": [size, after]}, "in": literal(GAP)}}
    appended = {"$concatArrays": [known, gap, literal([entry.digest])]}
    return upsert(entry.subject, {"digests": {"$cond": [{"$gt": [size, after]}, known, appended]}})
