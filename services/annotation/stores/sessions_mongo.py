"""Sessions in MongoDB, shared by all replicas of the review page."""

from datetime import datetime

from services.annotation.ports.sessions import SessionRecord
from services.runtime.stores.mongo import Database, translated


class MongoSessionStore:
    """The collection `review_sessions`."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["review_sessions"]

    async def prepare(self) -> None:
        """Create the index, unless it is there."""
        with translated():
            await self._sessions.create_index("ends_at")

    async def begin(self, session: SessionRecord, now: datetime) -> None:
        document = {
            "_id": session.session_id,
            "token_id": session.token_id,
            "by": session.by,
            "ends_at": session.ends_at,
        }
        with translated():
            await self._sessions.delete_many({"ends_at": {"$lte": now}})
            await self._sessions.insert_one(document)

    async def find(self, session_id: str) -> SessionRecord | None:
        with translated():
            found = await self._sessions.find_one({"_id": session_id})
        if found is None:
            return None
        return SessionRecord(found["_id"], found["token_id"], found["by"], found["ends_at"])

    async def end(self, session_id: str) -> None:
        with translated():
            await self._sessions.delete_one({"_id": session_id})
