"""What can go wrong, and what the runner does about it.

GazeloopError
├── Transient              unavailable for now: retried in place, with backoff
│   ├── StoreUnavailable       MongoDB, Qdrant or the blob store does not answer
│   ├── BrokerUnavailable      Kafka does not answer
│   │   └── MissingTopic           it has no such topic yet, or does not show it to this user
│   ├── ToolUnavailable        the annotation team's tool does not answer
│   ├── DeliveryUnconfirmed    the broker did not acknowledge a record in time
│   ├── ReceiverUnavailable    a webhook's receiver does not take a delivery
│   └── FrameNotStored         no frame matches a detector's message, which may be early
├── Invalid                never works: dead-lettered by its `reason`, its neighbours go on
│   ├── UnreadableEvent        bytes that are not an event of their topic
│   ├── InvalidRecord          a data set's or a client's record that breaks a rule
│   ├── ConflictingRevision    one identity and revision, two contents
│   ├── InvalidImage           not a complete JPEG or PNG within the limits
│   ├── MissingImage           the blob store has no such image
│   ├── Undelivered            a webhook's receiver failed for so long that one is given up
│   └── Unprocessable          an unexpected error of a step on a single event
└── Fatal                  the deployment is wrong: logs are flushed, the process exits
    ├── InvalidSettings        a setting is missing, unknown or contradictory
    ├── MissingPart            a broker, store or program is not installed
    │   └── MissingBroker          the one that holds a data folder's events
    ├── FolderInUse            another process runs on the data folder
    ├── DamagedVectors         files of Qdrant Edge cannot be read
    ├── DiskFull               the data folder's disk has too little room
    ├── PartEnded              an embedded part ended without a request
    ├── MissingWeights         no weights, or not those that their sha256 names
    ├── StoresNotMigrated      the stores are of an older version
    ├── StoresFromLater        the stores are of a newer version
    ├── NothingStored          a data folder that is to be read holds nothing
    ├── NoBackup               a place that is to have a backup has none, or none of that name
    ├── DamagedBackup          a backup is incomplete, or its files were changed
    ├── UnfinishedRestore      the stores hold a part of a backup
    ├── UnfitInt8              no 8-bit network, or not the one meant, or too far from exact
    └── TooManyDeadLetters     so many events in a row fail that the deployment must be wrong

Any other exception counts as Fatal, except one about a value (`ValueError` and the like) that a
single event raises while others of its batch go through: then the event is Unprocessable.
"""

from typing import ClassVar, Final


class GazeloopError(Exception):
    """Root of every error that Gazeloop raises on purpose."""


class Transient(GazeloopError):
    """Something is unavailable for now; the same call may succeed later."""


class StoreUnavailable(Transient):
    """MongoDB, Qdrant or the blob store does not answer."""


class BrokerUnavailable(Transient):
    """Kafka does not answer."""


class MissingTopic(BrokerUnavailable):
    """Kafka has no such topic yet, or does not show it to this user."""


class ToolUnavailable(Transient):
    """The annotation team's tool does not answer."""


class DeliveryUnconfirmed(Transient):
    """The broker did not acknowledge a record in time."""


class ReceiverUnavailable(Transient):
    """A webhook's receiver does not take a delivery."""


class FrameNotStored(Transient):
    """No stored frame matches a detector's message, which may be earlier than its frame."""


class Invalid(GazeloopError):
    """Processing fails however often it is tried.

    Parameters
    ----------
    detail : what is wrong, for a person
    reason : snake_case code for counting; by default the class's
    """

    default_reason: ClassVar[str] = "invalid"

    def __init__(self, detail: str, *, reason: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason or self.default_reason


class UnreadableEvent(Invalid):
    """Bytes that are not an event of their topic."""

    default_reason = "unreadable_event"


class InvalidRecord(Invalid):
    """A data set's or a client's record that breaks a rule."""

    default_reason = "invalid_record"


class ConflictingRevision(Invalid):
    """One identity and revision arrived with two contents."""

    default_reason = "conflicting_revision"


class InvalidImage(Invalid):
    """Not a complete JPEG or PNG within the limits."""

    default_reason = "invalid_image"


class MissingImage(Invalid):
    """The blob store has no such image."""

    default_reason = "missing_image"


class Undelivered(Invalid):
    """A webhook's receiver failed for so long that the delivery is given up."""

    default_reason = "undelivered"


class Unprocessable(Invalid):
    """An unexpected error of a step on a single event; see its cause."""

    default_reason = "unexpected_error"


class Fatal(GazeloopError):
    """The deployment is wrong; continuing would do damage."""


class InvalidSettings(Fatal):
    """A setting is missing, unknown or contradicts another."""


class MissingPart(Fatal):
    """A broker, store or program that is needed is not installed."""


class MissingBroker(MissingPart):
    """The broker that holds a data folder's events cannot be started here."""


class FolderInUse(Fatal):
    """Another process runs on the data folder."""


class PartEnded(Fatal):
    """An embedded part ended without a request."""


class MissingWeights(Fatal):
    """No weights, or not those that their sha256 names."""


class DamagedVectors(Fatal):
    """Files of Qdrant Edge cannot be read: they were damaged, or restored in part."""


class DiskFull(Fatal):
    """The data folder's disk has too little room to begin or to go on."""


class StoresNotMigrated(Fatal):
    """The stores are of an older version: `gazeloop migrate` has not run, or not to its end."""


class StoresFromLater(Fatal):
    """The stores are of a newer version."""


class NothingStored(Fatal):
    """A data folder that is to be read holds nothing."""


class NoBackup(Fatal):
    """A place that is to have a backup has none, or none of that name."""


class DamagedBackup(Fatal):
    """A backup is incomplete, or its files were changed."""


class UnfinishedRestore(Fatal):
    """The stores hold a part of a backup, because a restore was stopped."""


class UnfitInt8(Fatal):
    """No 8-bit network, or not the one that is meant, or one too far from full precision."""


class TooManyDeadLetters(Fatal):
    """So many events in a row fail that the deployment must be wrong."""


VALUE_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""Errors that code raises on a bad value, as opposed to errors of machines or peers."""
