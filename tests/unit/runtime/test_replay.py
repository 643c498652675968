from collections.abc import Sequence
from datetime import UTC, datetime

from services.contracts.codec import encode
from services.contracts.events import DeadLettered
from services.runtime.dead_letters import replay
from services.runtime.outbox import Parcel
from tests import samples


class Parcels:
    def __init__(self) -> None:
        self.sent: list[Parcel] = []

    async def publish_parcels(self, parcels: Sequence[Parcel]) -> None:
        self.sent.extend(parcels)


def letter(value: bytes, topic: str | None = "gaze.frames", key: bytes = b"k") -> DeadLettered:
    return DeadLettered(
        service="tester",
        reason="invalid",
        detail="it is",
        original_topic=topic,
        location=None if topic else "predictions.json:7",
        original_key=key,
        original_value=value,
        failed_at=datetime(2026, 5, 4, tzinfo=UTC),
    )


async def test_the_original_bytes_go_back_to_their_topic_and_key() -> None:
    outbox = Parcels()
    report = await replay([letter(b"\x00\xff")], outbox)
    assert report.replayed == 1
    assert outbox.sent == [Parcel("gaze.frames", b"k", b"\x00\xff", "k")]


async def test_a_readable_event_goes_to_its_own_partition_again() -> None:
    outbox = Parcels()
    match = samples.frame_matched()
    await replay([letter(encode(match), "gaze.matches", match.key().encode())], outbox)
    assert outbox.sent == [Parcel.of(match)]


async def test_what_never_was_on_a_topic_is_named_instead() -> None:
    outbox = Parcels()
    lost = letter(b"{}", topic=None)
    report = await replay([lost, letter(b"x")], outbox)
    assert (report.replayed, report.not_replayable) == (1, (lost,))
