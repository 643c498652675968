"""Which partitions a replica of a service owns, and for which it must account."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.contracts.topics import Topic
from services.runtime.kafka.lag import Partition, Position
from services.runtime.kafka.partitions import partition_of_key


@dataclass(frozen=True)
class Assignment:
    """The partitions that this replica of a service owns, and the number that each topic has."""

    partitions: frozenset[Partition]
    totals: Mapping[str, int]

    def owns(self, topic: Topic, partitioned_by: str) -> bool:
        """Whether this replica consumes the partition of this key."""
        total = self.totals.get(topic.name, 0)
        if not total:
            return False
        return Partition(topic.name, partition_of_key(partitioned_by, total)) in self.partitions

    def lacks_topics(self) -> bool:
        """Whether the broker's answer, on which it rests, named no partition of some topic."""
        return 0 in self.totals.values()

    def accountable(self, positions: Mapping[Partition, Position]) -> dict[Partition, Position]:
        """The positions whose lag this replica must work off.

        Those of the whole group if topics are missing: a leader that does not know a topic assigns
        its partitions to no replica, and none would notice.
        """
        if not self.totals or self.lacks_topics():
            return dict(positions)
        return {item: at for item, at in positions.items() if item in self.partitions}

    def described(self) -> dict[str, object]:
        """Fields for the log: the numbers of the partitions owned, and how many each topic has."""
        numbers: dict[str, list[int]] = {topic: [] for topic in self.totals}
        for topic, number in sorted(self.partitions):
            numbers[topic].append(number)
        return {
            "partitions": len(self.partitions),
            "numbers": numbers,
            "totals": dict(self.totals),
        }
