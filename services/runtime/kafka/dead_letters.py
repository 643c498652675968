"""What could not be processed: listed, and sent again once the reason is gone."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from services.contracts.codec import decode
from services.contracts.dead_letters import DeadLetterChanged, DeadLettered, LetterChange
from services.contracts.errors import BrokerUnavailable, Invalid
from services.contracts.topics import DEAD_LETTERS
from services.domain.dead_letters import UNSETTLED, Letter, LetterEvent, fold_letters
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.limits import MAX_DEAD_LETTER_BYTES
from services.runtime.kafka.outbox import OutgoingRecord
from services.runtime.kafka.records import REPLAY_HEADER
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

_POLL_MS = 500
_REPLAY_BATCH = 200


class ParcelOutbox(Protocol):
    """Where records leave as they are."""

    async def publish_parcels(self, parcels: Sequence[OutgoingRecord]) -> None:
        """Send all and return once the broker has acknowledged every one."""
        ...


@dataclass(frozen=True)
class ReplayReport:
    """What `replay` did."""

    replayed: int
    not_replayable: tuple[Letter, ...]
    """Those that never were on a topic; their `location` says where they are to be mended."""


def read_letters(broker: BrokerAddress, settings: Settings) -> list[Letter]:
    """Every dead letter that the broker still has, with its state; blocks while it reads.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    return fold_letters(_events(broker, settings))


def count_unsettled(broker: BrokerAddress, settings: Settings) -> int:
    """How many dead letters are neither resolved nor discarded; blocks while it reads.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    return sum(letter.state in UNSETTLED for letter in read_letters(broker, settings))


def read_dead_letters(broker: BrokerAddress, settings: Settings) -> Iterator[DeadLettered]:
    """Every failure that the broker still has, once each; blocks while it reads.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    seen = set()
    for event in _events(broker, settings):
        if isinstance(event, DeadLettered) and event.event_id not in seen:
            seen.add(event.event_id)
            yield event


async def replay(letters: Sequence[Letter], outbox: ParcelOutbox, now: datetime) -> ReplayReport:
    """Publish the original records again, byte for byte, where they came from, once each.

    What then fails or is processed counts with its letter, by a header.

    Raises
    ------
    BrokerUnavailable, DeliveryUnconfirmed
        Some may have been sent; replaying all again is harmless.
    """
    sent = [letter for letter in letters if letter.is_replayable]
    for start in range(0, len(sent), _REPLAY_BATCH):
        some = sent[start : start + _REPLAY_BATCH]
        # First the records: the broker may refuse them, and then nothing was replayed.
        await outbox.publish_parcels([_original(letter) for letter in some])
        changes = [_changed(letter, LetterChange.REPLAYED, now) for letter in some]
        await outbox.publish_parcels([OutgoingRecord.of(change) for change in changes])
    return ReplayReport(len(sent), tuple(item for item in letters if not item.is_replayable))


async def discard(letters: Sequence[Letter], outbox: ParcelOutbox, now: datetime) -> int:
    """Give letters up for good; how many those were. A later failure opens one again.

    Raises
    ------
    BrokerUnavailable, DeliveryUnconfirmed
        Some may have been discarded; discarding all again is harmless.
    """
    changes = [_changed(letter, LetterChange.DISCARDED, now) for letter in letters]
    await outbox.publish_parcels([OutgoingRecord.of(change) for change in changes])
    return len(changes)


def _changed(letter: Letter, change: LetterChange, now: datetime) -> DeadLetterChanged:
    return DeadLetterChanged(
        letter_id=letter.letter_id,
        change=change,
        replay=letter.next_replay if change is LetterChange.REPLAYED else None,
        partition_key=letter.latest.key(),
        changed_at=now,
    )


def _events(broker: BrokerAddress, settings: Settings) -> Iterator[LetterEvent]:
    try:
        for value in _values(broker, settings):
            event = _decoded(value)
            if event is not None:
                yield event
    except KafkaError as exc:
        raise BrokerUnavailable(f"{broker}: {type(exc).__name__}: {exc}") from exc


def _decoded(value: bytes) -> LetterEvent | None:
    try:
        event = decode(DEAD_LETTERS.name, value)
    except Invalid as exc:
        log.warning("dead_letter_unreadable", error=str(exc))
        return None
    assert isinstance(event, DeadLettered | DeadLetterChanged)
    return event


def _original(letter: Letter) -> OutgoingRecord:
    failure = letter.latest
    assert failure.original_topic is not None
    topic, key, value = failure.original_topic, failure.original_key, failure.original_value
    try:
        partitioned_by = decode(topic, value).partitioned_by()
    except Invalid:
        partitioned_by = key.decode(errors="replace")
    headers = ((REPLAY_HEADER, letter.next_replay.encode()),)
    return OutgoingRecord(topic, key, value, partitioned_by, headers)


def _values(broker: BrokerAddress, settings: Settings) -> Iterator[bytes]:
    with closing(_consumer(broker, settings)) as consumer:
        numbers = consumer.partitions_for_topic(DEAD_LETTERS.name) or ()
        partitions = [TopicPartition(DEAD_LETTERS.name, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=_POLL_MS).values():
                for record in records:
                    yield record.value


def _consumer(broker: BrokerAddress, settings: Settings) -> KafkaConsumer:
    return KafkaConsumer(
        **broker.client_options,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=MAX_DEAD_LETTER_BYTES,
        bootstrap_timeout_ms=int(settings.delivery_timeout_s * 1000),
    )
