"""The connection to MongoDB, durable writes, and the translation of its errors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from bson.errors import BSONError
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient, InsertOne, UpdateOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    CursorNotFound,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from services.contracts.errors import (
    GazeloopError,
    Invalid,
    InvalidSettings,
    StoreUnavailable,
)
from services.contracts.identity import DetectorId, FrameId
from services.runtime.settings import Settings
from services.runtime.stores.timed import MongoStopwatch
from services.runtime.stores.unreadable import readable

Document = dict[str, Any]
Database = AsyncDatabase[Document]
T = TypeVar("T")

_AWAY = (
    ConnectionFailure,
    CursorNotFound,
    DuplicateKeyError,
    ExecutionTimeout,
    WriteConcernError,
)
_DUPLICATE_KEY = 11000
_UNSTORABLE = frozenset({2, 9, 14, 15, 56, 57, 10334, 17419, 17420, 16410, 40352, 40353})
"""BadValue, FailedToParse, TypeMismatch, Overflow, EmptyFieldName, DollarPrefixedFieldName,
BSONObjectTooLarge, a document that an update makes too large (two), a field path (three)."""
_ACCESS_CODES = frozenset({13, 18, 8000})
"""Unauthorized, AuthenticationFailed, AtlasError (refused credentials)."""


def connect_as_set(settings: Settings) -> Database:
    """The database in the settings, with the user and TLS options in the settings.

    See `connect`.
    """
    options: dict[str, Any] = {}
    if settings.mongodb_user:
        if not settings.mongodb_password.get_secret_value():
            user = settings.mongodb_user
            raise InvalidSettings(f"GAZELOOP_MONGODB_PASSWORD is not set, and the user {user} is")
        options["username"] = settings.mongodb_user
        options["password"] = settings.mongodb_password.get_secret_value()
    if settings.mongodb_tls or settings.mongodb_ca:
        options["tls"] = True
    if settings.mongodb_ca:
        options["tlsCAFile"] = str(settings.mongodb_ca)
    try:
        return connect(settings.mongodb, settings.mongodb_database, **options)
    except OSError as exc:
        raise InvalidSettings(f"GAZELOOP_MONGODB_CA={settings.mongodb_ca}: {exc}") from exc


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Database]:
    """The database in the settings; closes its connections at the end."""
    database = connect_as_set(settings)
    try:
        yield database
    finally:
        await database.client.close()


def connect(url: str, database: str, **options: Any) -> Database:
    """The database, with writes that return once a majority has journaled them.

    It connects at the first operation.

    Parameters
    ----------
    options : of the driver's client, in addition to those in the URL

    Raises
    ------
    InvalidSettings
        The URL is not a MongoDB URL, or a file that an option names cannot be read.
    """
    with translated():
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            url,
            tz_aware=True,
            serverSelectionTimeoutMS=5_000,
            socketTimeoutMS=30_000,
            event_listeners=[MongoStopwatch()],
            **options,
        )
        return client.get_database(database, write_concern=WriteConcern(w="majority", j=True))


@contextmanager
def translated() -> Iterator[None]:
    """Translate the driver's errors.

    Raises
    ------
    StoreUnavailable
        MongoDB is down, or another writer was faster: the same call may succeed later.
    Invalid
        The document can never be stored.
    InvalidSettings
        MongoDB refuses access: a wrong URL, user or password.
    """
    try:
        yield
    # The driver raises OverflowError for an integer beyond 64 bits.
    except (PyMongoError, BSONError, OverflowError) as exc:
        known = _translation(exc)
        if known is None:
            raise
        raise known from exc


def _translation(error: Exception) -> GazeloopError | None:
    match error:
        case _ if (wrong := _unstorable(error)) is not None:
            return Invalid(f"MongoDB cannot hold this: {wrong}", reason="unstorable_document")
        case ConfigurationError() | InvalidURI():
            return InvalidSettings(f"GAZELOOP_MONGODB: {error}")
        case BulkWriteError():
            return StoreUnavailable(f"MongoDB: {error}") if _only_lost_races(error) else None
        case PyMongoError() if (refused := _refusal(error)) is not None:
            return InvalidSettings(f"{refused} ({error})")
        case PyMongoError() if isinstance(error, _AWAY) or _passes(error):
            return StoreUnavailable(f"MongoDB: {error}")
        case _:
            return None


def _refusal(error: PyMongoError) -> str | None:
    """Advice if MongoDB refuses the login or its certificate is not trusted; else None."""
    if isinstance(error, OperationFailure) and error.code in _ACCESS_CODES:
        return (
            "MongoDB refuses this user: check GAZELOOP_MONGODB_USER and"
            " GAZELOOP_MONGODB_PASSWORD, and that its role is the one that deploy/mongodb/setup.js"
            " makes, or readWrite"
        )
    if isinstance(error, ServerSelectionTimeoutError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return (
            "MongoDB's certificate is not to be trusted: renew it, or correct GAZELOOP_MONGODB_CA"
        )
    return None


def _passes(error: PyMongoError) -> bool:
    return error.timeout or error.has_error_label("RetryableWriteError")


def _only_lost_races(error: BulkWriteError) -> bool:
    """Whether all failures are upserts that lost a race to create a document; a retry finds it."""
    details: Mapping[str, Any] = error.details or {}
    failures = details.get("writeErrors", [])
    if failures:
        return all(failure.get("code") == _DUPLICATE_KEY for failure in failures)
    return bool(details.get("writeConcernErrors"))


def _unstorable(error: Exception) -> str | None:
    """Why MongoDB can never store a document; None for any other error."""
    match error:
        case DocumentTooLarge() | BSONError() | OverflowError():
            return str(error)
        case BulkWriteError():
            failures = (error.details or {}).get("writeErrors", [])
            others = [failure for failure in failures if failure.get("code") != _DUPLICATE_KEY]
            if others and all(other.get("code") in _UNSTORABLE for other in others):
                return str(others[0].get("errmsg", ""))
        case OperationFailure() if error.code in _UNSTORABLE:
            return str(error)
    return None


async def parsed(
    found: AsyncCursor[Document], parse: Callable[[Document], T], at_once: int
) -> AsyncIterator[list[T]]:
    """Yield a cursor's parsed documents in batches; leaves out unreadable ones.

    Parses in a thread, because a large batch takes seconds and would block the event loop.
    """
    name = found.collection.name
    while page := await found.to_list(at_once):
        yield await asyncio.to_thread(readable, name, page, parse)


async def write(collection: AsyncCollection[Document], updates: Sequence[UpdateOne]) -> None:
    """Apply all updates, durably, in any order.

    Raises
    ------
    StoreUnavailable, Invalid, InvalidSettings
        See `translated`.
    """
    if updates:
        with translated():
            await collection.bulk_write(updates, ordered=False)


STORED_NOW: Final = Timestamp(0, 0)
"""In a new document's own field: MongoDB puts its time there."""
NOW: Final[Document] = {"$type": "timestamp"}
"""The same for a field of `$currentDate`."""


class Guarded(NamedTuple):
    """A write that happens only while older content is stored, or none.

    Attributes
    ----------
    where : a filter on `_id` that holds only while the stored content is older
    new : the document if none is likely to be stored; inserting one costs MongoDB a fifth of the
        filtered update (13 and 58 us)
    """

    where: Document
    update: Document
    new: Document | None = None


async def write_guarded(collection: AsyncCollection[Document], writes: Sequence[Guarded]) -> None:
    """Write, durably, in any order, each only where its filter holds or nothing is stored.

    Raises
    ------
    StoreUnavailable, Invalid, InvalidSettings
        See `translated`.
    """
    if not writes:
        return
    first: list[InsertOne[Document] | UpdateOne] = [
        UpdateOne(where, update, upsert=True) if new is None else InsertOne(new)
        for where, update, new in writes
    ]
    with translated():
        try:
            await collection.bulk_write(first, ordered=False)
        except BulkWriteError as exc:
            lost = (exc.details or {}).get("writeErrors", [])
            if not lost or not _only_lost_races(exc):
                raise
            # Something is stored; only where it is older does the filter hold.
            failed = [writes[item["index"]] for item in lost]
            again = [UpdateOne(where, update) for where, update, _ in failed]
            await collection.bulk_write(again, ordered=False)


async def insert_new(collection: AsyncCollection[Document], documents: Sequence[Document]) -> None:
    """Insert those documents whose `_id` is not stored yet, durably.

    Raises
    ------
    StoreUnavailable, Invalid, InvalidSettings
        See `translated`.
    """
    if not documents:
        return
    with translated():
        try:
            await collection.bulk_write([InsertOne(item) for item in documents], ordered=False)
        except BulkWriteError as exc:
            if not (exc.details or {}).get("writeErrors") or not _only_lost_races(exc):
                raise


def pair_id(frame_id: FrameId, detector: DetectorId) -> str:
    """The `_id` of what is known of a frame and a detector; neither id contains a blank."""
    return f"{frame_id} {detector}"


def beginning(prefix: str, field: str = "_id") -> Document:
    """Texts with a prefix, found by their index."""
    return {field: {"$gte": prefix, "$lt": prefix[:-1] + chr(ord(prefix[-1]) + 1)}}


def upsert(
    document_id: str, assignments: Mapping[str, Any], *following: Mapping[str, Any]
) -> UpdateOne:
    """Set fields to aggregation expressions over the stored document, in one atomic step.

    Parameters
    ----------
    following : further assignments, each over the result of the ones before
    """
    stages = [{"$set": dict(item)} for item in (assignments, *following)]
    return UpdateOne({"_id": document_id}, stages, upsert=True)


def literal(value: object) -> Document:
    """A literal value: without this, MongoDB interprets `$` in a user's text as an expression."""
    return {"$literal": value}


def newest(path: str, revision: int, value: object) -> Document:
    """Expression for a revisioned part: the new value if its revision exceeds the stored one.

    The part at `path` has a field `revision`.
    """
    stored = {"$ifNull": [f"${path}.revision", 0]}
    return {"$cond": [{"$gt": [revision, stored]}, literal(value), f"${path}"]}


def time_of(path: str, revision: int, times: str) -> Document:
    """Expression for the server's time of the newest revision; a repeat changes nothing.

    Parameters
    ----------
    times : path of the stored time
    """
    stored = {"$ifNull": [f"${path}.revision", 0]}
    return {"$cond": [{"$gt": [revision, stored]}, "$$NOW", f"${times}"]}


def field_name(text: str) -> str:
    """The text as a MongoDB field name: percent-encodes `.` and `$`, and `%` to be reversible."""
    return text.replace("%", "%25").replace(".", "%2E").replace("$", "%24")


def text_of_field(name: str) -> str:
    """The text that `field_name` made this name of."""
    return name.replace("%24", "$").replace("%2E", ".").replace("%25", "%")
