"""The warning that a broker in memory deserves."""

from rich.console import Console
from rich.markup import escape

from services.runtime.embedded.kafka import lacks
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings


def warn_of_memory_broker(out: Console, settings: Settings) -> None:
    """Tell a person that events will not survive, where no real Kafka is behind the address."""
    if BrokerAddress.of(settings).in_memory:
        why = escape(lacks() or "so GAZELOOP_KAFKA says")
        out.print(
            "[yellow]Warning:[/] the broker is in memory, and its events are gone when this ends"
            f" ({why}). With Java 17 or newer and `make broker` it is Apache Kafka.",
            highlight=False,
        )
