"""Records of a detector's topic as the bridge's step takes them."""

from collections.abc import Hashable

from services.contracts.errors import UnreadableEvent
from services.contracts.events import Event
from services.ingest.bridge.envelopes import opened
from services.ingest.cost import check_cost
from services.runtime.kafka.records import Record


class DetectorMessage(Event):
    """A record that a detector has published, in its vendor's format.

    Attributes
    ----------
    taken_at : when the broker accepted it, in seconds since 1970; None if unknown
    content : JSON
    attributes : its `key`, and the attributes of its CloudEvent as `ce.NAME`
    """

    topic: str
    partition: int
    offset: int
    taken_at: float | None
    content: bytes
    attributes: dict[str, str]

    @property
    def location(self) -> str:
        """Topic, partition and offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def source(self) -> tuple[object, ...]:
        return (self.topic, self.partition, self.offset)

    def key(self) -> str:
        return self.location


class MessageDecoder:
    """Decodes records of a detector's topic.

    Parameters
    ----------
    most : maximum detections per frame
    """

    def __init__(self, most: int) -> None:
        self._most = most

    def decode(self, record: Record) -> DetectorMessage:
        if record.value is None:
            raise UnreadableEvent("the record has no value", reason="empty_record")
        check_cost(record.value, self._most)
        content, attributes = opened(record.value, record.headers)
        if record.key:
            attributes = {**attributes, "key": record.key.decode(errors="replace")}
        return DetectorMessage(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            taken_at=record.taken_at,
            content=content,
            attributes=attributes,
        )

    def contents(self, record: Record) -> Hashable:
        # Not by its value: the key or a header may name the frame.
        return record.topic, record.partition, record.offset
