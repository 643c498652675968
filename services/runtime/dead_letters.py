"""What could not be processed: listed, and sent again once the reason is gone."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from services.contracts.codec import decode
from services.contracts.errors import BrokerUnavailable, Invalid
from services.contracts.events import DeadLettered
from services.contracts.topics import DEAD_LETTERS
from services.runtime.broker import BrokerAddress
from services.runtime.limits import MAX_DEAD_LETTER_BYTES
from services.runtime.outbox import Parcel
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

_POLL_MS = 500
_REPLAY_BATCH = 200


class ParcelOutbox(Protocol):
    """Where records leave as they are."""

    async def publish_parcels(self, parcels: Sequence[Parcel]) -> None:
        """Send all and return once the broker has acknowledged every one."""
        ...


@dataclass(frozen=True)
class ReplayReport:
    """What `replay` did."""

    replayed: int
    not_replayable: tuple[DeadLettered, ...]
    """Those that never were on a topic; their `location` says where they are to be mended."""


def read_dead_letters(broker: BrokerAddress, settings: Settings) -> Iterator[DeadLettered]:
    """Every dead letter that the broker still has, once each; blocks while it reads.

    Raises
    ------
    BrokerUnavailable
        The broker does not answer.
    """
    seen = set()
    try:
        for value in _values(broker, settings):
            letter = _letter(value)
            if letter is not None and letter.event_id not in seen:
                seen.add(letter.event_id)
                yield letter
    except KafkaError as exc:
        raise BrokerUnavailable(f"{broker}: {type(exc).__name__}: {exc}") from exc


async def replay(letters: Sequence[DeadLettered], outbox: ParcelOutbox) -> ReplayReport:
    """Publish the original records again, byte for byte, where they came from.

    Raises
    ------
    BrokerUnavailable, DeliveryUnconfirmed
        Some may have been sent; replaying all again is harmless.
    """
    parcels = [parcel for letter in letters if (parcel := _original(letter)) is not None]
    for start in range(0, len(parcels), _REPLAY_BATCH):
        await outbox.publish_parcels(parcels[start : start + _REPLAY_BATCH])
    lost = tuple(letter for letter in letters if letter.original_topic is None)
    return ReplayReport(len(parcels), lost)


def _letter(value: bytes) -> DeadLettered | None:
    try:
        letter = decode(DEAD_LETTERS.name, value)
    except Invalid as exc:
        log.warning("dead_letter_unreadable", error=str(exc))
        return None
    assert isinstance(letter, DeadLettered)
    return letter


def _original(letter: DeadLettered) -> Parcel | None:
    if letter.original_topic is None:
        return None
    topic, key, value = letter.original_topic, letter.original_key, letter.original_value
    try:
        partitioned_by = decode(topic, value).partitioned_by()
    except Invalid:
        partitioned_by = key.decode(errors="replace")
    return Parcel(topic, key, value, partitioned_by)


def _values(broker: BrokerAddress, settings: Settings) -> Iterator[bytes]:
    with closing(_consumer(broker, settings)) as consumer:
        numbers = consumer.partitions_for_topic(DEAD_LETTERS.name) or ()
        partitions = [TopicPartition(DEAD_LETTERS.name, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(each) < ends[each] for each in partitions):
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
