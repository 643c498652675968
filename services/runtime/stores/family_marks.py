"""Which family each needle is in, written beside the needle so that lists can be cut by it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pymongo import UpdateOne

from services.contracts.identity import NeedleId
from services.runtime.stores.mongo import Database, Document, translated, write


@dataclass(frozen=True)
class Mark:
    """What the families say of a needle.

    Attributes
    ----------
    family : its family's id; none where it is in none yet
    exemplar : whether it is the family's face
    resolved : whether the family is
    suspicion : how likely its label is only missing; none where nothing speaks for it
    """

    family: str | None = None
    exemplar: bool = False
    resolved: bool = False
    suspicion: float | None = None


_FIELDS = {"mark": 1}


class MongoFamilyMarks:
    """The part `mark` of the collection `needles`."""

    def __init__(self, database: Database) -> None:
        self._needles = database["needles"]

    async def show(self, marks: Mapping[NeedleId, Mark]) -> int:
        """Write what has changed, and take away what no longer holds; how many that were.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        with translated():
            known = await self._needles.find({"mark": {"$exists": True}}, _FIELDS).to_list()
        before = {document["_id"]: document["mark"] for document in known}
        wanted = {needle_id: asdict(mark) for needle_id, mark in marks.items()}
        updates = [
            UpdateOne({"_id": needle_id}, {"$set": {"mark": mark}})
            for needle_id, mark in wanted.items()
            if before.get(needle_id) != mark
        ]
        gone = before.keys() - wanted.keys()
        updates += [UpdateOne({"_id": each}, {"$unset": {"mark": ""}}) for each in gone]
        await write(self._needles, updates)
        return len(updates)

    async def of(self, needle_id: NeedleId) -> Mark:
        """What is said of one needle."""
        with translated():
            found = await self._needles.find_one({"_id": needle_id}, _FIELDS)
        part: Document = (found or {}).get("mark", {})
        return Mark(**part)
