"""Sessions: a token logs its owner in, and the session lasts for a working day.

The browser holds a secret; the session is in the store. So a session survives restarts and is valid
on all replicas, and logging out also ends it for anybody who copied the cookie.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from cachetools import LRUCache

from services.annotation.ports.sessions import SessionRecord, SessionStore
from services.domain.ports.tokens import TokenRecord, TokenStore
from services.runtime.clock import Clock

COOKIE = "gazeloop_review"
SESSION_S = 12 * 3600
_MAX_CHARACTERS = 100
"""The limit for a cookie; valid ones have 43 characters."""
_MAX_KNOWN = 1000
"""Sessions whose token's id is kept in memory; it never changes."""


@dataclass(frozen=True)
class Account:
    """An annotator, as named by their token.

    Attributes
    ----------
    token_id : the token's public id
    by : the person's name, shown to others and stored with their acts
    """

    token_id: str
    by: str


Authenticate = Callable[[str], Awaitable[Account | None]]
"""Returns the account of a presented annotation token; None if the token is not valid."""


@dataclass(frozen=True)
class Session:
    """The session of a person who is logged in.

    Attributes
    ----------
    session_id : the session's id in the store
    by : the name in their token, shown to others and stored with their acts
    csrf : the token that their forms carry and no other site can know
    """

    session_id: str
    token_id: str
    by: str
    csrf: str


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, store: SessionStore, tokens: TokenStore, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._token_ids: LRUCache[str, str] = LRUCache(_MAX_KNOWN)

    async def begin(self, account: Account) -> str:
        """Begin a session and return the secret that the browser keeps.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        ends_at = now + timedelta(seconds=SESSION_S)
        record = SessionRecord(_id_of(secret), account.token_id, account.by, ends_at)
        await self._store.begin(record, now)
        return secret

    async def open(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None if it, or its token, is unknown, expired or ended.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        if not cookie or len(cookie) > _MAX_CHARACTERS:
            return None
        session_id, now = _id_of(cookie), self._clock.now()
        session, token = await self._read(session_id)
        if session is None or now >= session.ends_at or token is None or not token.is_valid(now):
            return None
        csrf = hmac.new(cookie.encode(), b"forms of this session", hashlib.sha256).hexdigest()
        return Session(session.session_id, session.token_id, session.by, csrf)

    async def _read(self, session_id: str) -> tuple[SessionRecord | None, TokenRecord | None]:
        """A session and its token, in one round trip if the token's id is known from before."""
        known = self._token_ids.get(session_id)
        if known is not None:
            return await asyncio.gather(self._store.find(session_id), self._tokens.find(known))
        session = await self._store.find(session_id)
        if session is None:
            return None, None
        self._token_ids[session_id] = session.token_id
        return session, await self._tokens.find(session.token_id)

    async def end(self, session: Session) -> None:
        """End a session: its cookie is no longer accepted.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        await self._store.end(session.session_id)


def is_same(session: Session, presented: str | None) -> bool:
    """Whether a form was rendered for this session."""
    return presented is not None and hmac.compare_digest(
        session.csrf.encode(), presented.encode("utf-8", "replace")
    )


def _id_of(secret: str) -> str:
    # One round of hashing is enough: 256 random bits cannot be guessed.
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
