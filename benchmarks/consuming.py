"""What taking an event from Kafka costs: Faust's `take_events` beside the way that services take.

    python -m benchmarks.consuming
    python -m benchmarks.consuming --events 200000 --batches 128 512 --rounds 5

Both ways read the same records of a real Kafka, in turn, each time in a process of its own. Nothing
is decoded and no step runs. Counted is the CPU time of the whole process from its first batch to
the last, with the thread in which Faust fetches.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from faust.streams import Stream
from faust.transport.drivers.aiokafka import Consumer
from faust.types import StreamT

from services.contracts.events import Event
from services.contracts.topics import FRAMES
from services.runtime.clock import SystemClock
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.records import Record
from services.runtime.kafka.runner import Runner
from services.runtime.kafka.stream import StreamApp, record_of
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings

_VALUE_BYTES = 500
_PER_PUBLISH = 1000


class _NoStep:
    async def run(self, events: Sequence[Event]) -> None:
        raise NotImplementedError


class _NoOutbox:
    async def publish(self, events: Sequence[Event]) -> None:
        raise NotImplementedError


class Counting(Runner):
    """Takes batches and does nothing with them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("bench", _NoStep(), _NoOutbox(), settings, SystemClock())
        self.events = 0
        self.cpu_s = 0.0
        self._began = 0.0

    async def process(self, records: Sequence[Record]) -> bool:
        """Count; the first batch begins the measurement, and is no part of it."""
        now = time.process_time()
        if not self._began:
            self._began = now
        else:
            self.events += len(records)
            self.cpu_s = now - self._began
        return True


class Directly(ConsumingService):
    """Takes batches as services do."""

    def count(self) -> Counting:
        """Put a counter in the place of the runner."""
        self._runner = counting = Counting(self._settings)
        return counting


class ByTakeEvents(Directly):
    """Takes batches by `Stream.take_events`, from Faust's consumer as it is."""

    def _build(self) -> StreamApp:
        app = super()._build()
        app.finalize()
        app.transport.Consumer = Consumer  # type: ignore[misc]
        return app

    async def _consume(self, stream: StreamT[bytes]) -> None:
        assert isinstance(stream, Stream)
        size, within = self._settings.batch_size, self._settings.batch_wait_s
        async for events in stream.take_events(size, within):
            await self._runner.process([record_of(event) for event in events])


_WAYS = {"take_events": ByTakeEvents, "directly": Directly}


async def _consume(way: str, bootstrap: str, events: int, batch: int) -> float:
    """Microseconds of CPU that an event takes."""
    broker, settings = BrokerAddress.parse(bootstrap), Settings(batch_size=batch)
    service = _WAYS[way](
        f"bench-{way}-{time.time_ns()}",
        [FRAMES],
        _NoStep(),
        outbox=_NoOutbox(),
        broker=broker,
        settings=settings,
        clock=SystemClock(),
    )
    counting = service.count()
    await service.start()
    while counting.events < events - 2 * batch:  # noqa: ASYNC110  # as cheap as can be
        await asyncio.sleep(0.2)
    await service.stop()
    return counting.cpu_s / counting.events * 1e6


async def _publish(broker: BrokerAddress, events: int) -> None:
    outbox = KafkaOutbox("bench", broker, Settings())
    for first in range(0, events, _PER_PUBLISH):
        names = [f"frame-{number}" for number in range(first, first + _PER_PUBLISH)]
        await outbox.publish_records(
            [
                OutgoingRecord(FRAMES.name, name.encode(), bytes(_VALUE_BYTES), name)
                for name in names
            ]
        )
    await outbox.close()


def _compared(options: argparse.Namespace) -> dict[str, object]:
    cost: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        broker = BrokerAddress.parse(kafka.bootstrap)
        create_topics(broker, Settings())
        asyncio.run(_publish(broker, options.events))
        for _ in range(options.rounds):
            for batch in options.batches:
                for way in _WAYS:
                    command = ["-m", "benchmarks.consuming", "--events", str(options.events)]
                    child = ["--child", way, kafka.bootstrap, str(batch)]
                    out = subprocess.check_output([sys.executable, *command, *child])  # noqa: S603
                    cost[f"{way}_{batch}"].append(float(out))
    return {
        "us_per_event": {name: round(statistics.median(costs), 1) for name, costs in cost.items()},
        "ratio": {
            batch: round(
                statistics.median(cost[f"take_events_{batch}"])
                / statistics.median(cost[f"directly_{batch}"]),
                2,
            )
            for batch in options.batches
        },
    }


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    configure_logs(level="ERROR")
    if options.child:
        way, bootstrap, batch = options.child
        print(asyncio.run(_consume(way, bootstrap, options.events, int(batch))))  # noqa: T201
    else:
        print(json.dumps(_compared(options), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
