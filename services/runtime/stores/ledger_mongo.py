"""The ledger in MongoDB: one document per subject, its contents in the order of their arrival."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from services.contracts.errors import StoreUnavailable
from services.runtime.stores.ledger import Entry
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
    broker : identity of the broker whose acknowledgements are kept, Kafka's cluster id; another
        one for each start of a broker that forgets
    """

    def __init__(self, database: Database, broker: str) -> None:
        self._revisions = database["revisions"]
        self._broker = broker

    async def assign(self, entries: Sequence[Entry]) -> list[int]:
        await self._write([_append(entry) for entry in dict.fromkeys(entries)])
        known = await self._find({entry.subject for entry in entries}, {"digests": 1})
        return [known[entry.subject]["digests"].index(entry.digest) + 1 for entry in entries]

    async def first(self, subjects: Collection[str]) -> dict[str, str]:
        found = await self._find(subjects, {"digests": {"$slice": 1}})
        firsts = {subject: document.get("digests") for subject, document in found.items()}
        return {subject: digests[0] for subject, digests in firsts.items() if digests}

    async def assign_next(self, entry: Entry, after: int) -> bool:
        await self._write([_append_after(entry, after)])
        known = await self._find([entry.subject], {"digests": 1})
        digests = known[entry.subject]["digests"]
        return bool(len(digests) > after and digests[after] == entry.digest)

    async def returns(self, way: str, entries: Sequence[Entry]) -> list[int]:
        counts: dict[int, int] = {}
        field = f"said.{way}"
        while left := [at for at in range(len(entries)) if at not in counts]:
            first = {entries[at].subject: at for at in reversed(left)}  # one of a subject at a time
            await self._write([_say(field, entries[at]) for at in first.values()])
            known = await self._find(first, {field: 1})
            for subject, at in first.items():
                said = known[subject]["said"][way]
                if said[-1] == entries[at].digest:  # else another process was faster: say it again
                    counts[at] = said.count(entries[at].digest) - 1
        return [counts[at] for at in range(len(entries))]

    async def confirm(self, entries: Collection[Entry]) -> None:
        digests = defaultdict(list)
        for subject, digest in entries:
            digests[subject].append(digest)
        await self._write([self._acknowledge(*item) for item in digests.items()])

    async def published(self, entries: Collection[Entry]) -> set[Entry]:
        known = await self._acknowledged({entry.subject for entry in entries})
        return {entry for entry in entries if entry.digest in known.get(entry.subject, ())}

    async def known(self, subjects: Collection[str]) -> set[str]:
        found = await self._find(subjects, {"broker": 1})
        return {subject for subject, document in found.items() if "broker" in document}

    def _acknowledge(self, subject: str, digests: list[str]) -> UpdateOne:
        before = {"$cond": [{"$eq": ["$broker", literal(self._broker)]}, "$published", []]}
        published = {"$setUnion": [before, literal(digests)]}
        return upsert(subject, {"published": published, "broker": literal(self._broker)})

    async def _acknowledged(self, subjects: Collection[str]) -> dict[str, list[str]]:
        found = await self._find(subjects, {"broker": 1, "published": 1})
        return {
            subject: document["published"]
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
            # Two first contents of one subject met; the loser now finds the other's document.
            await write(self._revisions, updates)


def _say(field: str, entry: Entry) -> UpdateOne:
    said = {"$ifNull": [f"${field}", []]}
    repeated = {"$eq": [{"$last": said}, literal(entry.digest)]}
    appended = {"$concatArrays": [said, literal([entry.digest])]}
    return upsert(entry.subject, {field: {"$cond": [repeated, said, appended]}})


def _append(entry: Entry) -> UpdateOne:
    known = {"$ifNull": ["$digests", []]}
    digest = literal(entry.digest)
    appended = {
        "$cond": [
            {"$in": [digest, known]},
            known,
            {"$concatArrays": [known, literal([entry.digest])]},
        ]
    }
    return upsert(entry.subject, {"digests": appended})


def _append_after(entry: Entry, after: int) -> UpdateOne:
    known = {"$ifNull": ["$digests", []]}
    size = {"$size": known}
    # Revisions that were published past the ledger leave a gap, which holds their places.
    gap = {"$map": {"input": {"$range": [size, after]}, "in": literal("?")}}
    appended = {"$concatArrays": [known, gap, literal([entry.digest])]}
    return upsert(entry.subject, {"digests": {"$cond": [{"$gt": [size, after]}, known, appended]}})
