"""Older contents of a subject, one document each, so that the subject's document stays small.

Every revision reads and rewrites its subject's document, so the cost of thousands of corrections
would grow with their square. The first and the newest contents, which answer nearly all queries,
stay in the subject's document; the others move here and keep their revisions.

The stored field `said` lists, for each way by which corrections arrive, the submitted contents.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pymongo import UpdateOne

from services.domain.ports.ledger import Entry
from services.runtime.stores.mongo import Database, Document, literal, translated, write

KEPT: Final = 64
"""How many newest contents, and newest submissions per way, stay in a subject's document."""
MAX_CONTENTS: Final = 3 * KEPT
"""Number of contents or submissions from which the older ones move."""
GAP: Final = "?"
"""Placeholder for a revision that was published without the ledger."""


class Older(NamedTuple):
    """A content that has moved out of its subject's document."""

    revision: int | None
    broker: str | None
    submitted: Mapping[str, int]
    """How often each way has submitted it, counting only the submissions that have moved."""


class OlderContents:
    """The collection `older_revisions`."""

    def __init__(self, database: Database) -> None:
        self._older = database["older_revisions"]

    async def load(self, entries: Collection[Entry]) -> dict[Entry, Older]:
        """The entries that have moved, with what is stored about them."""
        if not entries:
            return {}
        ids = {_id(entry): entry for entry in entries}
        with translated():
            found = await self._older.find({"_id": {"$in": list(ids)}}).to_list()
        return {ids[document["_id"]]: _older(document) for document in found}

    async def keep(self, subject: str, document: Document) -> None:
        """Copy what `compacting` will take out of a subject's document; idempotent."""
        digests = document.get("digests", [])
        moved: dict[str, Document] = {
            digest: {"revision": position + 1 + document.get("moved", 0)}
            for position, digest in _moving(digests)
        }
        for digest in set(document.get("published", ())).difference(_kept(digests)):
            moved.setdefault(digest, {})["broker"] = document["broker"]
        updates = [_set(Entry(subject, digest), parts) for digest, parts in moved.items()]
        await write(self._older, updates)
        for way, submissions in document.get("said", {}).items():
            await self._keep_submissions(subject, way, submissions[: _surplus(submissions)])

    async def _keep_submissions(self, subject: str, way: str, submissions: Sequence[str]) -> None:
        counts = {digest: submissions.count(digest) for digest in set(submissions)}
        before = await self.load([Entry(subject, digest) for digest in counts])
        totals = {
            digest: count
            + (at.submitted.get(way, 0) if (at := before.get(Entry(subject, digest))) else 0)
            for digest, count in counts.items()
        }
        await write(
            self._older,
            [_set(Entry(subject, d), {f"said.{way}": total}) for d, total in totals.items()],
        )


def is_long(document: Document) -> bool:
    """Whether older contents or submissions should move out of a subject's document."""
    submissions = document.get("said", {}).values()
    published = document.get("published", ()) if document.get("moved") else ()
    return any(
        len(item) >= MAX_CONTENTS for item in (document.get("digests", ()), published, *submissions)
    )


def compacting(document: Document) -> list[UpdateOne]:
    """Updates that remove what `keep` has copied from a subject's document.

    Each applies only to unchanged fields, because another process may have compacted or extended
    the document meanwhile.
    """
    subject, digests = document["_id"], document.get("digests", [])
    updates = []
    moved = document.get("moved", 0) + _surplus(digests)
    if moved:
        kept = literal(_kept(digests))
        published = {"$ifNull": ["$published", []]}
        fields: Document = {
            "digests": kept,
            "moved": moved,
            "published": {"$setIntersection": [published, kept]},
        }
        updates.append(UpdateOne({"_id": subject, "digests": digests}, [{"$set": fields}]))
    for way, submissions in document.get("said", {}).items():
        if gone_by := _surplus(submissions):
            rest = {"$set": {f"said.{way}": submissions[gone_by:], "said_moved": True}}
            updates.append(UpdateOne({"_id": subject, f"said.{way}": submissions}, rest))
    return updates


def _surplus(contents: Sequence[str]) -> int:
    return len(contents) - 1 - KEPT if len(contents) >= MAX_CONTENTS else 0


def _kept(digests: Sequence[str]) -> list[str]:
    return [*digests[:1], *digests[1 + _surplus(digests) :]]


def _moving(digests: Sequence[str]) -> list[tuple[int, str]]:
    """Contents that move, with their places; the first content stays, gaps are dropped."""
    places = range(1, 1 + _surplus(digests))
    found: dict[str, int] = {}
    for place in places:
        if digests[place] not in (GAP, digests[0]):
            found.setdefault(digests[place], place)
    return [(place, digest) for digest, place in found.items()]


def _set(entry: Entry, parts: Mapping[str, Any]) -> UpdateOne:
    """Merge fields into a content's document; its lowest revision wins."""
    parts = dict(parts)
    update: Document = {"$set": parts}
    if "revision" in parts:
        update = {"$min": {"revision": parts.pop("revision")}}
        if parts:
            update["$set"] = parts
    return UpdateOne({"_id": _id(entry)}, update, upsert=True)


def _id(entry: Entry) -> str:
    # Unambiguous, because neither subjects nor digests contain a line break.
    return f"{entry.subject}\n{entry.digest}"


def _older(document: Document) -> Older:
    return Older(document.get("revision"), document.get("broker"), document.get("said", {}))
