"""Known places in MongoDB."""

from collections.abc import Sequence
from dataclasses import asdict

from services.contracts.identity import NeedleId
from services.domain.ports.known_places import KnownPlace
from services.runtime.stores.mongo import Database, Document, translated


class MongoKnownPlaces:
    """The collection `known_places`."""

    def __init__(self, database: Database) -> None:
        self._places = database["known_places"]

    async def all(self) -> Sequence[KnownPlace]:
        with translated():
            found = await self._places.find().sort("_id", 1).to_list()
        return [_place(document) for document in found]

    async def of(self, needle_id: NeedleId) -> KnownPlace | None:
        with translated():
            found = await self._places.find_one({"_id": needle_id})
        return None if found is None else _place(found)

    async def mark(self, place: KnownPlace) -> None:
        fields = asdict(place)
        del fields["needle_id"]
        with translated():
            await self._places.update_one(
                {"_id": place.needle_id}, {"$setOnInsert": fields}, upsert=True
            )

    async def unmark(self, needle_id: NeedleId) -> None:
        with translated():
            await self._places.delete_one({"_id": needle_id})


def _place(document: Document) -> KnownPlace:
    fields = dict(document)
    return KnownPlace(needle_id=fields.pop("_id"), **fields)
