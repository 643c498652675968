from datetime import datetime

from services.annotation.ports.sessions import SessionRecord


class InMemorySessionStore:
    def __init__(self) -> None:
        self._sessions: dict[str, SessionRecord] = {}

    async def begin(self, session: SessionRecord, now: datetime) -> None:
        self._sessions = {key: one for key, one in self._sessions.items() if one.ends_at > now}
        self._sessions[session.session_id] = session

    async def find(self, session_id: str) -> SessionRecord | None:
        return self._sessions.get(session_id)

    async def end(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)
