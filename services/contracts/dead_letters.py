"""Dead letters: what could not be processed, and what became of it."""

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from services.contracts import identity
from services.contracts.events import Event
from services.contracts.identity import LetterId, ReplayId

_LONGEST_KEY = 1000
"""Characters. A record's key may be megabytes; its letter has it whole, in the value."""


def letter_of_record(topic: str, key: bytes, value: bytes) -> LetterId:
    """The letter of a record of a topic, named by its content: a replay is another place's copy."""
    return identity.letter_id("topic", topic, key.hex(), hashlib.sha256(value).hexdigest())


def partition_key_of(key: bytes) -> str:
    """What the letter of a record with this key is partitioned by."""
    return key.decode(errors="replace")[:_LONGEST_KEY]


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
    """File and line or id, for what never was on a topic."""
    original_key: bytes = b""
    original_value: bytes
    failed_at: AwareDatetime
    replay: ReplayId | None = None
    """The replay that failed; none the first time."""

    def source(self) -> tuple[object, ...]:
        place = (self.original_topic, self.partition, self.offset, self.location)
        return (self.service, *place, self.reason, self._digest())

    def key(self) -> str:
        return partition_key_of(self.original_key)

    @property
    def letter_id(self) -> LetterId:
        """The same for every service that failed on this record, and for every copy of it.

        Off the topics, one record may break several rules, and is mended for each by itself.
        """
        if self.original_topic is not None:
            return letter_of_record(self.original_topic, self.original_key, self.original_value)
        return identity.letter_id("place", self.service, self.location, self.reason, self._digest())

    def _digest(self) -> str:
        return hashlib.sha256(self.original_value).hexdigest()


class LetterChange(StrEnum):
    """What may become of a dead letter, besides failing again."""

    REPLAYED = "replayed"
    RESOLVED = "resolved"
    DISCARDED = "discarded"


class DeadLetterChanged(Event):
    """A dead letter was sent again, processed by a service, or given up for good."""

    type: Literal["DeadLetterChanged"] = "DeadLetterChanged"
    letter_id: LetterId
    change: LetterChange
    replay: ReplayId | None = None
    """The replay that this is, or that was processed."""
    service: Annotated[str, Field(max_length=200)] = ""
    """Who has processed it."""
    partition_key: str
    """The letter's own key, so that both are in one partition."""
    changed_at: AwareDatetime

    def source(self) -> tuple[object, ...]:
        # Of a discard there may be several, with replays in between.
        when = self.changed_at.isoformat() if self.change is LetterChange.DISCARDED else None
        return (self.letter_id, self.change.value, self.replay, self.service, when)

    def key(self) -> str:
        return self.partition_key
