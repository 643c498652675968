"""What publishing an event costs: kafka-python beside librdkafka, both awaited as services do.

    python -m benchmarks.producing
    python -m benchmarks.producing --batches 1 16 128 --rounds 5

One process publishes small events to a real Kafka by both producers in turn, in batches, each
awaited. Counted is the CPU time of the whole process.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from services.contracts.topics import FRAMES
from services.runtime.embedded.kafka import EmbeddedKafka
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.delivery import Connect, OutgoingRecord
from services.runtime.kafka.kafka_python_producer import connect_kafka_python
from services.runtime.kafka.librdkafka_producer import connect_librdkafka
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.kafka.topic_admin import create_topics
from services.runtime.observability.logs import configure_logs
from services.runtime.settings import Settings

_VALUE_BYTES = 500
_EVENTS = 8192
_PUBLISHES = 500
"""At most so many of each batch, or batches of one take minutes."""
_PRODUCERS: dict[str, Connect] = {
    "kafka_python": connect_kafka_python,
    "librdkafka": connect_librdkafka,
}


async def _cost(outbox: KafkaOutbox, batch: int) -> float:
    """Microseconds of CPU that an event takes."""
    names = [f"frame-{number}" for number in range(batch)]
    records = [OutgoingRecord(FRAMES.name, n.encode(), bytes(_VALUE_BYTES), n) for n in names]
    await outbox.publish_records(records)
    publishes = min(_PUBLISHES, _EVENTS // batch)
    began = time.process_time()
    for _ in range(publishes):
        await outbox.publish_records(records)
    return (time.process_time() - began) / (publishes * batch) * 1e6


async def _compared(broker: BrokerAddress, options: argparse.Namespace) -> dict[str, float]:
    outboxes = {
        name: KafkaOutbox("bench", broker, Settings(), connect=connect)
        for name, connect in _PRODUCERS.items()
    }
    cost: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for batch in options.batches:
            for name, outbox in outboxes.items():
                cost[f"{name}_{batch}"].append(await _cost(outbox, batch))
    for outbox in outboxes.values():
        await outbox.close()
    return {name: round(statistics.median(costs), 1) for name, costs in cost.items()}


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 128, 512])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    configure_logs(level="ERROR")
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        broker = BrokerAddress.parse(kafka.bootstrap)
        create_topics(broker, Settings())
        print(json.dumps({"us_per_event": asyncio.run(_compared(broker, options))}, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
