"""Tokens in MongoDB."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from services.domain.ports.tokens import TokenRecord
from services.runtime.stores.bson_files import read_documents
from services.runtime.stores.mongo import Database, Document, translated

TOKENS: Final = "tokens"
_AT_ONCE: Final = 500


class MongoTokenStore:
    """The collection `tokens`."""

    def __init__(self, database: Database) -> None:
        self._tokens = database[TOKENS]

    async def add(self, token: TokenRecord) -> None:
        document = {
            "_id": token.token_id,
            "secret_sha256": token.secret_sha256,
            "scope": token.scope,
            "created_at": token.created_at,
            "revoked_at": token.revoked_at,
            "used_at": token.used_at,
            "prefix": token.prefix,
        }
        with translated():
            await self._tokens.insert_one(document)

    async def find(self, token_id: str) -> TokenRecord | None:
        with translated():
            document = await self._tokens.find_one({"_id": token_id})
        return _record(document) if document else None

    async def list(self) -> Sequence[TokenRecord]:
        with translated():
            found = await self._tokens.find().sort([("created_at", 1), ("_id", 1)]).to_list()
        return [_record(document) for document in found]

    async def revoke(self, token_id: str, at: datetime) -> bool:
        with translated():
            later = [{"revoked_at": None}, {"revoked_at": {"$gt": at}}]
            result = await self._tokens.update_one(
                {"_id": token_id, "$or": later}, {"$set": {"revoked_at": at}}
            )
        return result.modified_count == 1

    async def note_use(self, token_id: str, at: datetime) -> None:
        with translated():
            await self._tokens.update_one({"_id": token_id}, {"$max": {"used_at": at}})


def _record(document: Document) -> TokenRecord:
    return TokenRecord(
        token_id=document["_id"],
        secret_sha256=document["secret_sha256"],
        scope=document["scope"],
        created_at=document["created_at"],
        revoked_at=document["revoked_at"],
        used_at=document.get("used_at"),  # tokens of an older version have none
        prefix=document.get("prefix", ""),
    )


async def revoke_as_in(database: Database, path: Path) -> None:
    """Revoke the tokens that are revoked in a file of them, by `mongo_dump`.

    Raises
    ------
    StoreUnavailable
        MongoDB does not answer.
    DamagedBackup
        The file cannot be read.
    """
    tokens = MongoTokenStore(database)
    for documents in read_documents(path, _AT_ONCE):
        for document in documents:
            if document["revoked_at"] is not None:
                await tokens.revoke(document["_id"], document["revoked_at"])
