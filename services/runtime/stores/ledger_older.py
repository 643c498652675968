"""Contents of a subject beyond its newest, one document for each: a subject's own stays small.

A subject's document is read and rewritten with every revision, so all contents of one that is
corrected thousands of times would cost their square. The first and the newest stay there, where
nearly all questions are answered; the others move here and keep their revisions.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pymongo import UpdateOne

from services.domain.ports.ledger import Entry
from services.runtime.stores.mongo import Database, Document, literal, translated, write

KEPT: Final = 64
"""Newest contents, and newest sayings of a way, that stay in a subject's document."""
MOST: Final = 3 * KEPT
"""From so many on, the older ones move."""
GAP: Final = "?"
"""Holds the place of a revision that was published past the ledger."""


class Older(NamedTuple):
    """What is kept of a content that has moved."""

    revision: int | None
    broker: str | None
    said: Mapping[str, int]
    """How often each way has said it, in sayings that have moved."""


class OlderContents:
    """The collection `older_revisions`."""

    def __init__(self, database: Database) -> None:
        self._older = database["older_revisions"]

    async def load(self, entries: Collection[Entry]) -> dict[Entry, Older]:
        """Those of the entries that have moved."""
        if not entries:
            return {}
        ids = {_id(entry): entry for entry in entries}
        with translated():
            found = await self._older.find({"_id": {"$in": list(ids)}}).to_list()
        return {ids[document["_id"]]: _older(document) for document in found}

    async def keep(self, subject: str, document: Document) -> None:
        """Copy what `compacting` will take out of a subject's document; twice is once."""
        digests = document.get("digests", [])
        moved: dict[str, Document] = {
            digest: {"revision": position + 1 + document.get("moved", 0)}
            for position, digest in _moving(digests)
        }
        for digest in set(document.get("published", ())).difference(_kept(digests)):
            moved.setdefault(digest, {})["broker"] = document["broker"]
        updates = [_set(Entry(subject, digest), parts) for digest, parts in moved.items()]
        await write(self._older, updates)
        for way, said in document.get("said", {}).items():
            await self._keep_said(subject, way, said[: _surplus(said)])

    async def _keep_said(self, subject: str, way: str, said: Sequence[str]) -> None:
        counts = {digest: said.count(digest) for digest in set(said)}
        before = await self.load([Entry(subject, digest) for digest in counts])
        totals = {
            digest: count
            + (at.said.get(way, 0) if (at := before.get(Entry(subject, digest))) else 0)
            for digest, count in counts.items()
        }
        await write(
            self._older,
            [_set(Entry(subject, d), {f"said.{way}": total}) for d, total in totals.items()],
        )


def is_long(document: Document) -> bool:
    """Whether older contents or sayings should move out of a subject's document."""
    said = document.get("said", {}).values()
    published = document.get("published", ()) if document.get("moved") else ()
    return any(len(item) >= MOST for item in (document.get("digests", ()), published, *said))


def compacting(document: Document) -> list[UpdateOne]:
    """Take what was kept elsewhere out of a subject's document, where nobody else has yet.

    The sizes are compared, because another process may have done the same, or have added to it.
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
    for way, said in document.get("said", {}).items():
        if gone_by := _surplus(said):
            rest = {"$set": {f"said.{way}": said[gone_by:], "said_moved": True}}
            updates.append(UpdateOne({"_id": subject, f"said.{way}": said}, rest))
    return updates


def _surplus(contents: Sequence[str]) -> int:
    return len(contents) - 1 - KEPT if len(contents) >= MOST else 0


def _kept(digests: Sequence[str]) -> list[str]:
    return [*digests[:1], *digests[1 + _surplus(digests) :]]


def _moving(digests: Sequence[str]) -> list[tuple[int, str]]:
    """Contents that move, with their places; the first stays, a gap needs no keeping."""
    places = range(1, 1 + _surplus(digests))
    found: dict[str, int] = {}
    for place in places:
        if digests[place] not in (GAP, digests[0]):
            found.setdefault(digests[place], place)
    return [(place, digest) for digest, place in found.items()]


def _set(entry: Entry, parts: Mapping[str, Any]) -> UpdateOne:
    """The first revision of a content stays, as does what else is known of it."""
    parts = dict(parts)
    update: Document = {"$set": parts}
    if "revision" in parts:
        update = {"$min": {"revision": parts.pop("revision")}}
        if parts:
            update["$set"] = parts
    return UpdateOne({"_id": _id(entry)}, update, upsert=True)


def _id(entry: Entry) -> str:
    # No subject and no digest holds a line break.
    return f"{entry.subject}\n{entry.digest}"


def _older(document: Document) -> Older:
    return Older(document.get("revision"), document.get("broker"), document.get("said", {}))
