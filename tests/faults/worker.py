"""One service in a process of its own, to be killed: notes the key of every record it finished.

Usage: worker.py BROKER NAME NOTES SECONDS_PER_BATCH FIRST_BATCH_SECONDS
"""

import asyncio
import os
import sys
from collections.abc import Sequence

from services.contracts.dead_letters import DeadLettered
from services.contracts.events import Event
from services.contracts.topics import FRAMES
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.consumer import ConsumingService
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.observability.logs import configure_logs
from services.runtime.serving import serving, until_signalled
from services.runtime.settings_reading import load_settings


class Notes:
    """Lines in a file: visible at once, and again when an event comes again."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def add(self, lines: Sequence[str]) -> None:
        os.write(self._file, "".join(f"{line}\n" for line in lines).encode())


class Noting:
    """A step whose effect is a note of each event."""

    def __init__(self, notes: Notes, seconds: float, first_seconds: float) -> None:
        self._notes = notes
        self._seconds = seconds
        self._next_seconds = first_seconds

    async def run(self, events: Sequence[Event]) -> None:
        self._notes.add(["a batch began"])
        seconds, self._next_seconds = self._next_seconds, self._seconds
        await asyncio.sleep(seconds)
        self._notes.add([event.key() for event in events])


class NotingOutbox(KafkaOutbox):
    """Notes dead letters once they are delivered: their records are finished too."""

    notes: Notes

    async def publish(self, events: Sequence[Event]) -> None:
        await super().publish(events)
        letters = [event for event in events if isinstance(event, DeadLettered)]
        self.notes.add([(letter.original_key or b"").decode() for letter in letters])


async def main(broker: str, name: str, notes: str, seconds: str, first_seconds: str) -> None:
    settings = load_settings(metrics_port=0)
    address = BrokerAddress.parse(broker)
    outbox = NotingOutbox(name, address, settings, connect=connect_librdkafka)
    outbox.notes = Notes(notes)
    service = ConsumingService(
        name,
        [FRAMES],
        Noting(outbox.notes, float(seconds), float(first_seconds)),
        outbox=outbox,
        broker=address,
        settings=settings,
        clock=SystemClock(),
    )
    async with serving([service], settings):
        await until_signalled()


if __name__ == "__main__":
    configure_logs()
    asyncio.run(main(*sys.argv[1:]))
