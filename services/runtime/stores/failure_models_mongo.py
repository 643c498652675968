"""Failure models in MongoDB: a document per model, or several where it is large."""

from typing import Final

from services.contracts.identity import Category, DetectorId
from services.domain.ports.failure_models import MODELS_KEPT
from services.runtime.stores.mongo import Database, Document, translated

_PART_BYTES: Final = 8_000_000
"""A document holds at most 16 MB."""


class MongoFailureModelStore:
    """The collection `failure_models`: `_id` is detector, category, number, model id and part.

    Of a category, the model with the highest number was saved last.
    """

    def __init__(self, database: Database) -> None:
        self._models = database["failure_models"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._models.create_index([("detector", 1), ("category", 1), ("number", 1)])

    async def save(
        self, detector: DetectorId, category: Category, model_id: str, content: bytes
    ) -> None:
        by_category = {"detector": detector, "category": category}
        with translated():
            last = await self._models.find_one(by_category, {"content": 0}, sort=[("number", -1)])
            if last is not None and last["model_id"] == model_id:
                return
            number = last["number"] + 1 if last is not None else 1
            parts = range(0, len(content), _PART_BYTES)
            for part, start in enumerate(parts):
                document: Document = {
                    "model_id": model_id,
                    "number": number,
                    "part": part,
                    "parts": len(parts),
                    "content": content[start : start + _PART_BYTES],
                } | by_category
                place = {"_id": f"{detector}|{category}|{number}|{model_id}|{part}"}
                await self._models.replace_one(place, document, upsert=True)
            await self._models.delete_many(
                {**by_category, "number": {"$lte": number - MODELS_KEPT}}
            )

    async def load(self, detector: DetectorId, category: Category, model_id: str) -> bytes | None:
        where = {"detector": detector, "category": category, "model_id": model_id}
        with translated():
            found = await self._models.find(where).sort([("number", -1), ("part", 1)]).to_list()
        # The last complete one: a process may have ended while it saved.
        for number in sorted({part["number"] for part in found}, reverse=True):
            parts = [part for part in found if part["number"] == number]
            if len(parts) == parts[0]["parts"]:
                return b"".join(part["content"] for part in parts)
        return None

    async def forget_all(self) -> None:
        with translated():
            await self._models.delete_many({})
