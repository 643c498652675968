"""Lists, replays and discards dead letters; `runner.py` makes them.

`dead_letter_limit.py` stops a service that makes too many.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from services.contracts.codec import decode
from services.contracts.dead_letters import DeadLetterChanged, DeadLettered, LetterChange
from services.contracts.errors import Invalid, InvalidRecord
from services.contracts.events import Event
from services.contracts.topics import BY_NAME, DEAD_LETTERS
from services.domain.chunks import chunks
from services.domain.dead_letters import UNSETTLED, Letter, LetterEvent, fold_letters
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.records import REPLAY_HEADER
from services.runtime.kafka.topic_reading import values
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

_REPLAY_BATCH = 200


class RecordOutbox(Protocol):
    """Publishes records that are encoded already."""

    async def publish(self, events: Sequence[Event]) -> None: ...

    async def publish_records(self, records: Sequence[OutgoingRecord]) -> None:
        """Send all and return once the broker has acknowledged every one."""
        ...


@dataclass(frozen=True)
class ReplayReport:
    """What `replay` did."""

    replayed: int
    not_replayable: tuple[Letter, ...]
    """Dead letters that never were on a topic, whose `location` says where to correct them, and
    those whose records are too large for their topic."""


def read_letters(broker: BrokerAddress, settings: Settings) -> list[Letter]:
    """Every dead letter that the broker still has, with its state; blocks while it reads.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    InvalidSettings
        The broker refuses the user.
    """
    return fold_letters(_events(broker, settings))


def count_unsettled(broker: BrokerAddress, settings: Settings) -> int:
    """How many dead letters are neither resolved nor discarded; blocks while it reads.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    InvalidSettings
        The broker refuses the user.
    """
    return sum(dead_letter.state in UNSETTLED for dead_letter in read_letters(broker, settings))


async def replay(
    dead_letters: Sequence[Letter], outbox: RecordOutbox, now: datetime
) -> ReplayReport:
    """Publish the original records again, byte for byte, to their topics.

    A header links the outcome of each replay to its dead letter.

    Raises
    ------
    BrokerUnavailable, DeliveryUnconfirmed
        Some may have been sent; replaying all again is harmless.
    """
    kept = [dead_letter for dead_letter in dead_letters if not dead_letter.is_replayable]
    replayable = [dead_letter for dead_letter in dead_letters if dead_letter.is_replayable]
    for batch in chunks(replayable, _REPLAY_BATCH):
        # Records before state changes: if the broker refuses the records, nothing was replayed.
        too_large = await _publish_originals(batch, outbox)
        kept += too_large
        sent = [dead_letter for dead_letter in batch if dead_letter not in too_large]
        await outbox.publish([_changed(item, LetterChange.REPLAYED, now) for item in sent])
    return ReplayReport(len(dead_letters) - len(kept), tuple(kept))


async def _publish_originals(
    dead_letters: Sequence[Letter], outbox: RecordOutbox
) -> Sequence[Letter]:
    """Publish the records; returns the dead letters whose record is too large for its topic."""
    try:
        await outbox.publish_records([_original(dead_letter) for dead_letter in dead_letters])
    except InvalidRecord:
        if len(dead_letters) == 1:
            return dead_letters
        return [
            too_large
            for dead_letter in dead_letters
            for too_large in await _publish_originals([dead_letter], outbox)
        ]
    return ()


async def discard(dead_letters: Sequence[Letter], outbox: RecordOutbox, now: datetime) -> int:
    """Mark dead letters as given up; returns how many. A later failure opens one again.

    Raises
    ------
    BrokerUnavailable, DeliveryUnconfirmed
        Some may have been discarded; discarding all again is harmless.
    """
    changes = [_changed(dead_letter, LetterChange.DISCARDED, now) for dead_letter in dead_letters]
    await outbox.publish(changes)
    return len(changes)


async def erase(dead_letters: Sequence[Letter], outbox: RecordOutbox, now: datetime) -> None:
    """Leave dead letters out of every list and count; the topic holds them until they expire.

    Raises
    ------
    BrokerUnavailable, DeliveryUnconfirmed
        Some may have been erased; erasing all again is harmless.
    """
    await outbox.publish([_changed(item, LetterChange.ERASED, now) for item in dead_letters])


def _changed(dead_letter: Letter, change: LetterChange, now: datetime) -> DeadLetterChanged:
    return DeadLetterChanged(
        letter_id=dead_letter.letter_id,
        change=change,
        replay=dead_letter.next_replay if change is LetterChange.REPLAYED else None,
        partition_key=dead_letter.latest.key(),
        changed_at=now,
    )


def _events(broker: BrokerAddress, settings: Settings) -> Iterator[LetterEvent]:
    for value in values(broker, settings, DEAD_LETTERS):
        event = _decoded(value)
        if event is not None:
            yield event


def _decoded(value: bytes) -> LetterEvent | None:
    try:
        event = decode(DEAD_LETTERS.name, value)
    except Invalid as exc:
        log.warning("dead_letter_unreadable", error=str(exc))
        return None
    assert isinstance(event, DeadLettered | DeadLetterChanged)
    return event


def _original(dead_letter: Letter) -> OutgoingRecord:
    failure = dead_letter.latest
    assert failure.original_topic is not None
    topic, key, value = failure.original_topic, failure.original_key, failure.original_value
    partitioned_by = key.decode(errors="replace")
    if topic in BY_NAME:
        with suppress(Invalid):
            partitioned_by = decode(topic, value).partitioned_by()
    headers = (*failure.original_headers, (REPLAY_HEADER, dead_letter.next_replay.encode()))
    return OutgoingRecord(topic, key, value, partitioned_by, headers)
