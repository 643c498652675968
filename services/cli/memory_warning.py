"""The warning about an in-memory broker."""

from rich.console import Console

from services.cli.console import styled
from services.runtime.embedded.kafka import lacks
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings


def warn_of_memory_broker(out: Console, settings: Settings) -> None:
    """Warn that events do not survive the process if the broker is in memory."""
    if BrokerAddress.of(settings).in_memory:
        why = lacks() or "so GAZELOOP_KAFKA says"
        text = styled(
            "[yellow]Warning:[/] the broker is in memory, and its events are gone when this ends"
            " ({}). With Java 17 or newer, `gazeloop broker fetch` makes it Apache Kafka.",
            why,
        )
        out.print(text)
