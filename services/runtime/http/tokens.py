"""Bearer tokens: a public id and 256 random bits, of which only the hash is stored.

A token authenticates one vehicle, one annotator, one operator, or one viewer of original images.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from services.contracts.errors import InvalidRecord
from services.contracts.identity import VehicleId
from services.contracts.visible_text import hidden_character
from services.domain.namespaces import Vehicle
from services.domain.ports.tokens import TokenRecord, TokenStore
from services.runtime.clock import Clock

_TOKEN = re.compile(r"gz-([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")
_VEHICLE = re.compile(r"[^\s\x00-\x1f]{1,200}")
_PERSON = re.compile(r"\S(?:.{0,58}\S)?")
_ANNOTATION = "annotation"
_OPERATOR = "operator"
_ORIGINALS = "originals"
_KNOWN = (
    "known scopes: vehicle:ID (a vehicle's frames and predictions),"
    " annotation:NAME (one annotator's ground truth and reviews),"
    " operator:NAME (one operator's erasures),"
    " originals:NAME (images that others see redacted, for one person)"
)
_NOTED_EVERY = timedelta(hours=1)
_NOBODY = hashlib.sha256(b"").hexdigest()


class Scope(NamedTuple):
    """What a token permits.

    A vehicle publishes its own frames, an annotator ground truth, an operator erases frames, and a
    viewer sees original images.
    """

    vehicle_id: VehicleId | None
    """None for a person."""
    person: str | None = None
    """The annotator's name; none for others, and for the annotation tokens of older versions."""
    operator: str | None = None
    """The operator's name; none for others."""
    viewer: str | None = None
    """The name of who may see originals; none for others."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `vehicle:ID`, `annotation:NAME`, `operator:NAME`, `originals:NAME` or `annotation`.

        Raises
        ------
        InvalidRecord
            `invalid_scope`: the text is none of them, or a name breaks its rules.
        """
        scope_type, separator, name = text.partition(":")
        if text == _ANNOTATION:
            return cls(None)
        if not separator or scope_type not in {"vehicle", _ANNOTATION, _OPERATOR, _ORIGINALS}:
            raise InvalidRecord(f"{text!r} is no scope; {_KNOWN}", reason="invalid_scope")
        if scope_type == "vehicle":
            return cls(VehicleId(_checked(name, _VEHICLE, "1 to 200 characters without blanks")))
        person = _checked(name, _PERSON, "1 to 60 characters, no blank first or last")
        if scope_type == _ORIGINALS:
            return cls(None, viewer=person)
        return cls(None, operator=person) if scope_type == _OPERATOR else cls(None, person)


@dataclass(frozen=True)
class Caller:
    """The authenticated sender of a request."""

    token_id: str
    scope: Scope
    prefix: str = ""

    @property
    def vehicle(self) -> Vehicle | None:
        """The vehicle and its namespace; none for an annotator."""
        vehicle_id = self.scope.vehicle_id
        return Vehicle(vehicle_id, self.prefix or vehicle_id) if vehicle_id else None

    @property
    def person(self) -> str | None:
        """The annotator's name; none for others.

        A token of an older version has no name, so its public id serves as one.
        """
        vehicle_id, _, operator, viewer = self.scope
        if (vehicle_id, operator, viewer) != (None, None, None):
            return None
        return self.scope.person or f"{_ANNOTATION}-{self.token_id[:8]}"


def issue(scope: str, now: datetime, prefix: str = "") -> tuple[str, TokenRecord]:
    """Create a token; returns its text, which is shown only once, and the record to store.

    Parameters
    ----------
    prefix : prefix of all ids of the vehicle; empty for the vehicle's own id

    Raises
    ------
    InvalidRecord
        `invalid_scope`: the scope is unknown.
    """
    Scope.parse(scope)
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    record = TokenRecord(token_id, _hashed(secret), scope, now, prefix=prefix)
    return f"gz-{token_id}.{secret}", record


def id_of(token: str) -> str:
    """The public id in a token's text."""
    return token.removeprefix("gz-").partition(".")[0]


def check_scope(scope: str, prefix: str = "") -> None:
    """Refuse a scope that no new token may have.

    Raises
    ------
    InvalidRecord
        `invalid_scope`: the scope is unknown, lacks a name, or the name breaks its rules.
    """
    if scope == _ANNOTATION:
        detail = f"name the person, like {_ANNOTATION}:ada; every annotator has their own token"
        raise InvalidRecord(detail, reason="invalid_scope")
    parsed = Scope.parse(scope)
    if prefix:
        _checked(prefix, _VEHICLE, "1 to 200 characters without blanks")
        if parsed.vehicle_id is None:
            raise InvalidRecord("only a vehicle has a prefix", reason="invalid_scope")


async def create(tokens: TokenStore, scope: str, now: datetime, prefix: str = "") -> str:
    """Create and store a token for a vehicle or a person.

    Raises
    ------
    InvalidRecord
        `invalid_scope`: the scope is unknown or lacks a name. `namespace_taken`: another
        vehicle's token permits some of the same ids.
    StoreUnavailable
        The store does not answer.
    """
    check_scope(scope, prefix)
    token, record = issue(scope, now, prefix)
    vehicle = _caller(record).vehicle
    for other in await tokens.list() if vehicle else ():
        holder = _caller(other).vehicle if other.is_valid(now) else None
        if vehicle and holder and _collide(vehicle, holder):
            detail = (
                f"{holder.vehicle_id} may name ids that begin with {holder.prefix!r} already;"
                " give another prefix with --prefix, or revoke its token"
            )
            raise InvalidRecord(detail, reason="namespace_taken")
    await tokens.add(record)
    return token


def _collide(vehicle: Vehicle, holder: Vehicle) -> bool:
    return vehicle.vehicle_id != holder.vehicle_id and vehicle.overlaps(holder)


def _caller(record: TokenRecord) -> Caller:
    return Caller(record.token_id, Scope.parse(record.scope), record.prefix)


def _checked(name: str, pattern: re.Pattern[str], rule: str) -> str:
    hidden = hidden_character(name)
    if hidden or not pattern.fullmatch(name):
        why = f"it holds the invisible character {hidden}" if hidden else f"it must have {rule}"
        raise InvalidRecord(f"{name!r}: {why}; {_KNOWN}", reason="invalid_scope")
    return name


async def rotate(tokens: TokenStore, token_id: str, now: datetime, grace: timedelta) -> str | None:
    """Create a new token with the same scope; the old one expires after the grace period.

    None if there is no valid token with this id. If this fails halfway, both tokens are valid.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    old = await tokens.find(token_id)
    if old is None or not old.is_valid(now):
        return None
    token, record = issue(old.scope, now, old.prefix)
    await tokens.add(record)
    await tokens.revoke(token_id, now + grace)
    return token


class Authenticator:
    """Authenticates tokens, and records about when each was last used."""

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock

    async def caller(self, presented: str) -> Caller | None:
        """The caller with this token; None if the token is unknown or no longer valid.

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
        # At most once an hour, so that a request needs no write.
        if record.used_at is None or now - record.used_at >= _NOTED_EVERY:
            await self._tokens.note_use(record.token_id, now)
        return _caller(record)


def _hashed(secret: str) -> str:
    # One round suffices, because 256 random bits cannot be guessed.
    return hashlib.sha256(secret.encode()).hexdigest()
