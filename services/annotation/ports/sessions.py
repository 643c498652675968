"""The session store's protocol; sessions are stored, so that logging out ends them everywhere."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class SessionRecord:
    """The stored part of a session.

    Attributes
    ----------
    session_id : hash of the secret that the browser holds
    token_id : the token that the person logged in with
    by : the person's name
    ends_at : from when it is invalid
    """

    session_id: str
    token_id: str
    by: str
    ends_at: datetime


class SessionStore(Protocol):
    """Sessions by id. Every call is durable once it returns."""

    async def begin(self, session: SessionRecord, now: datetime) -> None:
        """Store a new session, and delete those that have ended.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def find(self, session_id: str) -> SessionRecord | None:
        """The session of this id, unless it was ended."""
        ...

    async def end(self, session_id: str) -> None:
        """End a session permanently."""
        ...
