"""The unreadable documents that have a dead letter already, so that each gets only one."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import UpdateOne

from services.runtime.stores.mongo import Database, translated, write
from services.runtime.stores.unreadable import UnreadableDocument


class MongoUnreadableLog:
    """The collection `unreadable_documents`: one document per reported document."""

    def __init__(self, database: Database) -> None:
        self._reported = database["unreadable_documents"]

    async def unreported(self, documents: Sequence[UnreadableDocument]) -> list[UnreadableDocument]:
        """The documents that no process has reported yet.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ids = [_id(document) for document in documents]
        with translated():
            found = await self._reported.find({"_id": {"$in": ids}}, {"_id": 1}).to_list()
        known = {document["_id"] for document in found}
        return [document for document in documents if _id(document) not in known]

    async def note(self, documents: Sequence[UnreadableDocument], now: datetime) -> None:
        """Store durably that these were reported.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        await write(
            self._reported,
            [
                UpdateOne(
                    {"_id": _id(document)},
                    {
                        "$setOnInsert": {
                            "collection": document.collection,
                            "document_id": document.document_id,
                            "detail": document.detail,
                            "at": now,
                        }
                    },
                    upsert=True,
                )
                for document in documents
            ],
        )


def _id(document: UnreadableDocument) -> str:
    # Not by content: one reader may load the whole document, another only some fields.
    return f"{document.collection}/{document.document_id}"
