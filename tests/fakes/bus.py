"""All steps on one in-memory bus: what one publishes, the next ones are given."""

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle

from services.contracts.codec import EventVersion, decode, written
from services.contracts.events import Event
from services.contracts.topics import Topic, topic_of
from services.runtime.kafka.partitions import partition_of_key
from services.runtime.step import Step

Order = Callable[[Sequence[tuple[str, bytes]]], list[tuple[str, bytes]]]


def as_published(waiting: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return list(waiting)


def thrice_and_shuffled(seed: int) -> Order:
    rng = random.Random(seed)

    def order(waiting: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return rng.sample([*waiting] * 3, 3 * len(waiting))

    return order


class LocalBus:
    """An Outbox and a broker; `drain` delivers until nobody has anything to say."""

    def __init__(
        self,
        order: Order = as_published,
        batch: int = 16,
        versions: Sequence[EventVersion] = (2,),
    ) -> None:
        self.log: list[Event] = []
        self._versions = cycle(versions)
        self._order = order
        self._batch = batch
        self._waiting: list[tuple[str, bytes]] = []
        self._readers: list[tuple[frozenset[str], Step, int]] = []

    def subscribe(self, step: Step, topics: Iterable[Topic], batch: int | None = None) -> None:
        names = frozenset(topic.name for topic in topics)
        self._readers.append((names, step, batch or self._batch))

    async def publish(self, events: Sequence[Event]) -> None:
        self.log.extend(events)
        self._waiting.extend(
            (topic_of(event).name, value)
            for event in events
            for _, value in written(
                event, next(self._versions), partial(partition_of_key, partitions=4)
            )
        )

    async def drain(self, rounds: int = 100) -> None:
        for _ in range(rounds):
            if not self._waiting:
                return
            delivered, self._waiting = self._order(self._waiting), []
            for topics, step, batch in self._readers:
                wanted = [decode(topic, value) for topic, value in delivered if topic in topics]
                for start in range(0, len(wanted), batch):
                    await step.run(wanted[start : start + batch])
        raise AssertionError(f"still talking after {rounds} rounds")
