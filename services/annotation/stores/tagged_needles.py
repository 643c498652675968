"""Needles whose frames have a tag: frames have their tags, so those of the needles are read."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

from services.annotation.ports.needle_lists import ListPosition
from services.contracts.identity import NeedleId
from services.runtime.stores.frame_tags_mongo import MongoFrameTags
from services.runtime.stores.mongo import Database, Document, translated

_AT_ONCE: Final = 500
Order = Sequence[tuple[str, int]]


class TaggedNeedles:
    """Reads the collections `needles` and `frames`, some needles at a time.

    Ids of frames are no condition of a query: MongoDB takes and answers 16 MB, which hold 350,000.

    Parameters
    ----------
    tag : of the frames, as `key=value`
    """

    def __init__(self, database: Database, tag: str) -> None:
        self._needles = database["needles"]
        self._tags = MongoFrameTags(database)
        self._key, _, self._value = tag.partition("=")

    async def ids(self, where: Document, order: Order, *, skip: int, limit: int) -> list[NeedleId]:
        """The needles from place `skip` on; no more frames are read than that takes."""
        ids: list[NeedleId] = []
        async for document in self._found(where, order):
            if skip:
                skip -= 1
                continue
            ids.append(NeedleId(document["_id"]))
            if len(ids) == limit:
                break
        return ids

    async def count(self, where: Document) -> int:
        """How many needles there are."""
        count = 0
        async for _ in self._found(where, ()):
            count += 1
        return count

    async def groups(self, where: Document) -> list[Document]:
        """The needles counted by group and family, as MongoDB's `$group` would."""
        fields = ("group", "mark.family")
        counts: Counter[tuple[str | None, str | None]] = Counter()
        async for document in self._found(where, (), fields):
            counts[document.get("group"), document.get("mark", {}).get("family")] += 1
        return [
            {"_id": {"group": group, "family": family}, "count": count}
            for (group, family), count in counts.items()
        ]

    async def place(
        self, where: Document, order: Order, field: str, key: tuple[object, str]
    ) -> ListPosition:
        """The place of the needle with this value of a field and this id.

        Parameters
        ----------
        order : by the field, then by the id in the same direction
        """
        before, total = 0, 0
        previous = following = None
        falling = order[0][1] < 0
        async for document in self._found(where, order):
            total += 1
            found = (_value(document, field), document["_id"])
            if found == key:
                continue
            if (found > key) == falling:
                previous, before = NeedleId(document["_id"]), before + 1
            elif following is None:
                following = NeedleId(document["_id"])
        return ListPosition(previous, following, before, total)

    async def _found(
        self, where: Document, order: Order, fields: Sequence[str] = ()
    ) -> AsyncIterator[Document]:
        """The needles in order, each with its id, what it is ordered by, and these fields."""
        shown = dict.fromkeys(("frame_id", *(name for name, _ in order), *fields), 1)
        found = self._needles.find(where, shown, batch_size=_AT_ONCE, allow_disk_use=True)
        if order:
            found = found.sort([*order])
        with translated():
            while page := await found.to_list(_AT_ONCE):
                tags = await self._tags.of({document["frame_id"] for document in page})
                for document in page:
                    if tags.get(document["frame_id"], {}).get(self._key) == self._value:
                        yield document


def _value(document: Document, path: str) -> object:
    """The value at a path of two names."""
    outer, inner = path.split(".")
    value: object = document[outer][inner]
    return value
