"""Whether a group ever commits a record that is not finished."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.contracts.errors import BrokerUnavailable
from services.contracts.topics import Topic
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader, Partition, Position
from services.runtime.settings import Settings
from tests.reading import keys_on

_PAUSE_S = 0.05


@dataclass
class CommitWatch:
    """Looks again and again at what a group has committed, and at what was finished by then.

    Attributes
    ----------
    notes : the file to which workers append the key of each record that is finished, a line each
    looks : the committed positions, each with the length in bytes of the notes that were read later
    """

    notes: Path
    group: str
    topic: Topic
    looks: list[tuple[Mapping[Partition, Position], int]] = field(default_factory=list)

    @asynccontextmanager
    async def watching(self, broker: BrokerAddress, settings: Settings) -> AsyncIterator[None]:
        """Look while this is open; while the broker is away there is nothing to see."""
        looking = asyncio.create_task(self._look(broker, settings))
        yield
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    async def _look(self, broker: BrokerAddress, settings: Settings) -> None:
        lag = LagReader(broker, settings)
        try:
            while True:
                try:
                    await asyncio.to_thread(self._look_once, lag)
                except BrokerUnavailable:
                    continue
                await asyncio.sleep(_PAUSE_S)
        finally:
            lag.close()

    def _look_once(self, lag: LagReader) -> None:
        # Commits first: what is finished only grows.
        positions = lag.positions({self.group: [self.topic.name]})[self.group]
        self.looks.append((positions, self.notes.stat().st_size if self.notes.exists() else 0))

    def unfinished(self, broker: BrokerAddress) -> set[str]:
        """The keys of records that were committed before they were finished."""
        keys = keys_on(broker, self.topic.name)
        noted = self.notes.read_bytes() if self.notes.exists() else b""
        found: set[str] = set()
        for positions, length in self.looks:
            finished = set(noted[:length].decode().splitlines())
            found |= {
                key
                for (partition, offset), key in keys.items()
                if offset < positions[Partition(self.topic.name, partition)].committed
                and key not in finished
            }
        return found
