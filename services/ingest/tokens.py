"""Bearer tokens: a public id and 256 random bits, of which only the hash is kept."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from services.contracts.errors import InvalidRecord
from services.contracts.identity import VehicleId
from services.runtime.clock import Clock
from services.runtime.stores.tokens import TokenRecord, TokenStore

_TOKEN = re.compile(r"gz-([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")
_VEHICLE = re.compile(r"vehicle:([^\s\x00-\x1f]{1,200})")
_NOTED_EVERY = timedelta(hours=1)
_NOBODY = hashlib.sha256(b"").hexdigest()


class Scope(NamedTuple):
    """What a token may do: a vehicle publishes its own frames, annotators ground truth."""

    vehicle_id: VehicleId | None
    """None for the annotation team."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The scope that `vehicle:<id>` or `annotation` names.

        Raises
        ------
        InvalidRecord
            `invalid_scope`: it is neither.
        """
        if text == "annotation":
            return cls(None)
        vehicle = _VEHICLE.fullmatch(text)
        if vehicle is None:
            detail = f"{text!r} is neither vehicle:ID nor annotation"
            raise InvalidRecord(detail, reason="invalid_scope")
        return cls(VehicleId(vehicle[1]))


@dataclass(frozen=True)
class Caller:
    """Who a request comes from."""

    token_id: str
    scope: Scope


def issue(scope: str, now: datetime) -> tuple[str, TokenRecord]:
    """A new token, shown to its owner this once, and what is kept of it.

    Raises
    ------
    InvalidRecord
        `invalid_scope`: the scope is neither `vehicle:<id>` nor `annotation`.
    """
    Scope.parse(scope)
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return f"gz-{token_id}.{secret}", TokenRecord(token_id, _hashed(secret), scope, now)


async def rotate(tokens: TokenStore, token_id: str, now: datetime, grace: timedelta) -> str | None:
    """A new token of the same scope; the old one ends after the grace period.

    None where there is no valid one of this id. Where this fails halfway, both are valid.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    old = await tokens.find(token_id)
    if old is None or not old.is_valid(now):
        return None
    token, record = issue(old.scope, now)
    await tokens.add(record)
    await tokens.revoke(token_id, now + grace)
    return token


class Authenticator:
    """Says whose a token is, and remembers about when each was used."""

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock

    async def caller(self, presented: str) -> Caller | None:
        """Whose token this is; none where there is no such token, or it is no longer valid.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        parts = _TOKEN.fullmatch(presented)
        if parts is None:
            return None
        record = await self._tokens.find(parts[1])
        expected = record.secret_sha256 if record else _NOBODY
        same = hmac.compare_digest(_hashed(parts[2]), expected)
        now = self._clock.now()
        if record is None or not same or not record.is_valid(now):
            return None
        # Seldom, so that a request costs no write.
        if record.used_at is None or now - record.used_at >= _NOTED_EVERY:
            await self._tokens.note_use(record.token_id, now)
        return Caller(record.token_id, Scope.parse(record.scope))


def _hashed(secret: str) -> str:
    # One round is enough: there is nothing to guess in 256 random bits.
    return hashlib.sha256(secret.encode()).hexdigest()
