"""Who is looking: a token gets a person in, a signed cookie keeps them in for a working day."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeTimedSerializer

from services.runtime.clock import Clock
from services.runtime.stores.tokens import TokenStore

COOKIE = "gazeloop_review"
SESSION_S = 12 * 3600
MAX_NAME = 60

Authenticate = Callable[[str], Awaitable[str | None]]
"""The public id of a presented token of the annotation team; none where it is no such token."""


@dataclass(frozen=True)
class Session:
    """A person who is in.

    Attributes
    ----------
    by : the name that they gave, shown to others and kept with what they do
    csrf : what their forms carry, and no other site can know
    """

    token_id: str
    by: str
    csrf: str


class Sessions:
    """Makes and reads cookies."""

    def __init__(self, key: bytes, tokens: TokenStore, clock: Clock) -> None:
        self._signer = URLSafeTimedSerializer(key, salt="review session")
        self._key = key
        self._tokens = tokens
        self._clock = clock

    def cookie(self, token_id: str, by: str) -> str:
        """What the browser keeps."""
        return str(self._signer.dumps([token_id, by, self._clock.now().isoformat()]))

    async def open(self, cookie: str | None) -> Session | None:
        """Whose cookie this is; none where it is old, forged, or its token is no longer valid.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        if not cookie:
            return None
        try:
            token_id, by, began = self._signer.loads(cookie, max_age=SESSION_S)
        except (BadData, ValueError, TypeError):
            return None
        record = await self._tokens.find(token_id)
        if record is None or not record.is_valid(self._clock.now()):
            return None
        return Session(token_id, by, self._csrf(f"{token_id} {by} {began}"))

    def _csrf(self, session: str) -> str:
        return hmac.new(self._key, session.encode(), hashlib.sha256).hexdigest()


def is_same(session: Session, presented: str | None) -> bool:
    """Whether a form was drawn for this session."""
    return presented is not None and hmac.compare_digest(
        session.csrf.encode(), presented.encode("utf-8", "replace")
    )


def cleaned_name(given: str) -> str | None:
    """A person's name in one line; none where nothing is left of it."""
    name = " ".join("".join(c if c.isprintable() else " " for c in given).split())
    return name[:MAX_NAME] or None
