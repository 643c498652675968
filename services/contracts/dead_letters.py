"""Events of dead letters: records that could not be processed, and what became of them."""

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from services.contracts import identity
from services.contracts.events import Event
from services.contracts.identity import LetterId, ReplayId

_MAX_KEY_LENGTH = 1000
"""Characters. A record's key may have megabytes; the dead letter holds all of it in its value."""


def letter_of_record(topic: str, key: bytes, value: bytes) -> LetterId:
    """The dead letter of a topic's record, by content, so that a replayed copy has the same id."""
    return identity.letter_id("topic", topic, key.hex(), hashlib.sha256(value).hexdigest())


def partition_key_of(key: bytes) -> str:
    """The partition key of the dead letter of a record with this key."""
    return key.decode(errors="replace")[:_MAX_KEY_LENGTH]


class DeadLettered(Event):
    """Something that could not be processed, kept whole."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    type: Literal["DeadLettered"] = "DeadLettered"
    service: str
    reason: str
    detail: str
    traceback: str = ""
    original_topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    location: str | None = None
    """File and line or id, for a record that was never on a topic."""
    original_key: bytes = b""
    original_value: bytes
    original_headers: tuple[tuple[str, bytes], ...] = ()
    """Without those of traces and replays."""
    failed_at: AwareDatetime
    replay: ReplayId | None = None
    """The replay that failed; None the first time."""

    def source(self) -> tuple[object, ...]:
        place = (self.original_topic, self.partition, self.offset, self.location)
        return (self.service, *place, self.reason, self._digest())

    def key(self) -> str:
        return partition_key_of(self.original_key)

    @property
    def letter_id(self) -> LetterId:
        """The same for every service that failed on this record, and for every copy of it.

        A record from outside the topics may break several rules; each makes its own dead letter.
        """
        if self.original_topic is not None:
            return letter_of_record(self.original_topic, self.original_key, self.original_value)
        return identity.letter_id("place", self.service, self.location, self.reason, self._digest())

    def _digest(self) -> str:
        return hashlib.sha256(self.original_value).hexdigest()


class LetterChange(StrEnum):
    """The changes of a dead letter besides another failure."""

    REPLAYED = "replayed"
    RESOLVED = "resolved"
    DISCARDED = "discarded"
    ERASED = "erased"
    """It is about an erased frame, so it is no longer listed, counted or replayed."""


class DeadLetterChanged(Event):
    """A dead letter was sent again, processed by a service, or given up for good."""

    type: Literal["DeadLetterChanged"] = "DeadLetterChanged"
    letter_id: LetterId
    change: LetterChange
    replay: ReplayId | None = None
    """The replay that was sent, or that was processed."""
    service: Annotated[str, Field(max_length=200)] = ""
    """The service that processed it."""
    partition_key: str
    """The dead letter's key, so that both events are in one partition."""
    changed_at: AwareDatetime

    def source(self) -> tuple[object, ...]:
        # A letter may be discarded several times, with replays in between.
        when = self.changed_at.isoformat() if self.change is LetterChange.DISCARDED else None
        return (self.letter_id, self.change.value, self.replay, self.service, when)

    def key(self) -> str:
        return self.partition_key
