"""Consumer lag of the services, from the broker's offsets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from kafka import IsolationLevel, KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    KafkaError,
    NoError,
    NotCoordinatorError,
    RetriableError,
    UnknownTopicOrPartitionError,
    for_code,
)
from tenacity import (
    RetryCallState,
    retry,
    retry_if_exception_type,
    stop_after_delay,
    wait_fixed,
)

from services.contracts.errors import MissingTopic
from services.runtime.kafka.admin_connection import AdminConnection
from services.runtime.kafka.broker import BrokerAddress, not_visible, translate
from services.runtime.settings import Settings

_PATIENCE_S = 10.0

Subscriptions = Mapping[str, Sequence[str]]
"""The topics that each consumer group reads."""


def _reconnect(state: RetryCallState) -> None:
    """Drop the connection if a group's coordinator has moved: kafka-python keeps the old one."""
    reader, outcome = state.args[0], state.outcome
    if outcome is not None and isinstance(outcome.exception(), NotCoordinatorError):
        reader.disconnect()


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


@dataclass(frozen=True)
class Position:
    """A group's committed offset in a partition, and the partition's end offset."""

    committed: int
    end: int
    expired: int = 0
    """Records deleted before the group committed them; 0 if the group has committed nothing."""

    @property
    def lag(self) -> int:
        """Records that are not committed yet."""
        return max(0, self.end - self.committed)


class LagReader:
    """Reads offsets; connects at the first call, and again after an error.

    It blocks, so keep it off the event loop. One thread reads; any thread may close it.
    """

    def __init__(self, broker: BrokerAddress, settings: Settings) -> None:
        self._broker = broker
        self._connection = AdminConnection(broker, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def disconnect(self) -> None:
        """Drop the connection; the next call connects again."""
        self._connection.reset()

    def positions(self, subscriptions: Subscriptions) -> dict[str, dict[Partition, Position]]:
        """Every group's positions in its topics; reads all committed offsets before any end.

        Where a group has committed nothing, its position is the partition's first record.

        Raises
        ------
        BrokerUnavailable
            The broker does not answer; as MissingTopic, it has no such topic.
        InvalidSettings
            The broker refuses the user.
        """
        try:
            return self._positions(subscriptions)
        except KafkaError as exc:
            self.disconnect()
            raise translate(exc, self._broker) from exc

    def lags(self, subscriptions: Subscriptions) -> dict[tuple[str, str], int]:
        """Records that each group has not committed yet, by group and topic.

        All zero means that no service had any work left, for the reason given at `caught_up`.
        """
        lags = {(group, topic): 0 for group, topics in subscriptions.items() for topic in topics}
        for group, positions in self.positions(subscriptions).items():
            for partition, position in positions.items():
                lags[group, partition.topic] += position.lag
        return lags

    def caught_up(self, subscriptions: Subscriptions) -> bool:
        """Whether there was a moment at which no service had any work left.

        Offsets only grow. If a committed offset, read first, equals the end offset, read later,
        the two were equal during the whole time between the reads. If that holds for every group,
        all inputs were committed in that time; a service commits an input only after it has
        published the outputs, so the outputs were published, and committed too. The order of the
        reads matters: with ends read first, a service could publish after the end of its output
        was read and commit before its input's offset was read, and the pipeline would look idle.
        """
        return not any(self.lags(subscriptions).values())

    def expired(self, subscriptions: Subscriptions) -> dict[str, dict[Partition, int]]:
        """Records by group and partition that were deleted before the group had committed them.

        Raises
        ------
        BrokerUnavailable, InvalidSettings
            As `positions` does.
        """
        return {
            group: {partition: at.expired for partition, at in positions.items() if at.expired}
            for group, positions in self.positions(subscriptions).items()
        }

    @retry(
        # A broker that has just started, or moves a group's coordinator, answers with an error.
        retry=retry_if_exception_type(RetriableError),
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_fixed(0.1),
        before_sleep=_reconnect,
        reraise=True,
    )
    def _positions(self, subscriptions: Subscriptions) -> dict[str, dict[Partition, Position]]:
        admin = self._connection.client()
        partitions = self._partitions(
            admin, {topic for topics in subscriptions.values() for topic in topics}
        )
        owed = {
            group: [partition for topic in topics for partition in partitions[topic]]
            for group, topics in subscriptions.items()
        }
        committed = {
            group: admin.list_group_offsets({group: wanted}).get(group, {})
            for group, wanted in owed.items()
        }
        all_partitions = {item for wanted in owed.values() for item in wanted}
        firsts = admin.list_partition_offsets(dict.fromkeys(all_partitions, OffsetSpec.EARLIEST))
        # Not beyond the first open transaction: nothing that comes after it can be read yet.
        ends = admin.list_partition_offsets(
            dict.fromkeys(all_partitions, OffsetSpec.LATEST), IsolationLevel.READ_COMMITTED
        )
        positions: dict[str, dict[Partition, Position]] = {}
        for group, wanted in owed.items():
            known = {item: at.offset for item, at in committed[group].items() if at.offset >= 0}
            positions[group] = {
                Partition(item.topic, item.partition): _position(
                    known.get(item), firsts[item].offset, ends[item].offset
                )
                for item in wanted
            }
        return positions

    def _partitions(
        self, admin: KafkaAdminClient, topics: Iterable[str]
    ) -> dict[str, list[TopicPartition]]:
        partitions = {}
        for described in admin.describe_topics(sorted(topics)):
            name, error = described["name"], for_code(described["error_code"])
            if error is UnknownTopicOrPartitionError:
                raise MissingTopic(not_visible(self._broker, name))
            if error is not NoError:
                raise error(name)
            partitions[name] = [
                TopicPartition(name, item["partition_index"]) for item in described["partitions"]
            ]
        return partitions


def _position(committed: int | None, first: int, end: int) -> Position:
    """The position for these offsets of one partition."""
    if committed is None:
        return Position(first, end)
    return Position(max(committed, first), end, max(0, first - committed))
