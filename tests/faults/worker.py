"""One service in a process of its own, to be killed: notes every frame that it is given.

Usage: worker.py BROKER NAME NOTES [SECONDS_PER_BATCH]
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from services.contracts.events import Event
from services.contracts.topics import FRAMES
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.observability.logs import configure_logs
from services.runtime.serving import serving, until_told_to_end
from services.runtime.settings import load_settings


class Noting:
    """Its effect is a line in a file: visible at once, and again when an event comes again."""

    def __init__(self, notes: Path, seconds: float) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._seconds = seconds

    async def run(self, events: Sequence[Event]) -> None:
        os.write(self._notes, b"a batch began\n")
        await asyncio.sleep(self._seconds)
        os.write(self._notes, "".join(f"{event.key()}\n" for event in events).encode())


async def main(broker: str, name: str, notes: str, seconds: str = "0.02") -> None:
    settings = load_settings(metrics_port=0)
    address = BrokerAddress.parse(broker)
    service = ConsumingService(
        name,
        [FRAMES],
        Noting(Path(notes), float(seconds)),
        outbox=KafkaOutbox(name, address, settings),
        broker=address,
        settings=settings,
        clock=SystemClock(),
    )
    async with serving([service], settings):
        await until_told_to_end()


if __name__ == "__main__":
    configure_logs()
    asyncio.run(main(*sys.argv[1:]))
