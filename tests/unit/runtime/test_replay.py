from collections.abc import Sequence
from datetime import UTC, datetime

from services.contracts import identity
from services.contracts.codec import decode, encode
from services.contracts.dead_letters import DeadLetterChanged, DeadLettered, LetterChange
from services.contracts.events import Event
from services.domain.dead_letters import LetterState, fold_letters
from services.runtime.kafka.dead_letters import discard, replay
from services.runtime.kafka.delivery import OutgoingRecord
from services.runtime.kafka.limits import MAX_EVENT_BYTES, largest_value, too_large
from services.runtime.kafka.records import REPLAY_HEADER
from tests import samples

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Parcels:
    def __init__(self) -> None:
        self.sent: list[OutgoingRecord] = []

    async def publish(self, events: Sequence[Event]) -> None:
        await self.publish_records(
            [record for event in events for record in OutgoingRecord.of(event, 1)]
        )

    async def publish_records(self, records: Sequence[OutgoingRecord]) -> None:
        if any(len(record.value) > largest_value(record.topic) for record in records):
            raise too_large("a record")
        self.sent.extend(records)

    def originals(self) -> list[OutgoingRecord]:
        return [record for record in self.sent if record.topic != "gaze.dead-letters"]

    def changes(self) -> list[DeadLetterChanged]:
        events = [decode(p.topic, p.value) for p in self.sent if p.topic == "gaze.dead-letters"]
        return [event for event in events if isinstance(event, DeadLetterChanged)]


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


async def test_the_original_bytes_go_back_to_their_topic_with_key_and_headers() -> None:
    outbox = Parcels()
    sent_headers = (("ce_type", b"detections"), ("odd", b"\xff"))
    failure = letter(b"\x00\xff").model_copy(update={"original_headers": sent_headers})
    report = await replay(fold_letters([failure]), outbox, NOW)
    assert report.replayed == 1
    number = identity.replay_id(failure.letter_id, 1)
    headers = (*sent_headers, (REPLAY_HEADER, number.encode()))
    assert outbox.originals() == [OutgoingRecord("gaze.frames", b"k", b"\x00\xff", "k", headers)]
    (change,) = outbox.changes()
    assert (change.change, change.replay) == (LetterChange.REPLAYED, number)


async def test_a_readable_event_goes_to_its_own_partition_again() -> None:
    outbox = Parcels()
    match = samples.frame_matched()
    failure = letter(encode(match), "gaze.matches", match.key().encode())
    await replay(fold_letters([failure]), outbox, NOW)
    (sent,) = outbox.originals()
    assert sent.partitioned_by == match.partitioned_by()
    assert (sent.key, sent.value) == (match.key().encode(), encode(match))


async def test_a_detectors_record_goes_back_to_its_topic_and_key() -> None:
    outbox = Parcels()
    await replay(fold_letters([letter(b"{}", "detector.output")]), outbox, NOW)
    (sent,) = outbox.originals()
    assert (sent.topic, sent.key, sent.value) == ("detector.output", b"k", b"{}")
    assert sent.partitioned_by == "k"


async def test_what_never_was_on_a_topic_is_named_instead() -> None:
    outbox = Parcels()
    lost, found = fold_letters([letter(b"{}", topic=None), letter(b"x")])
    if found.latest.original_topic is None:
        lost, found = found, lost
    report = await replay([lost, found], outbox, NOW)
    assert (report.replayed, report.not_replayable) == (1, (lost,))


async def test_a_record_that_is_too_large_for_its_topic_does_not_keep_the_others() -> None:
    outbox = Parcels()
    values = [b"x", bytes(MAX_EVENT_BYTES + 1), b"y"]
    report = await replay(fold_letters([letter(value) for value in values]), outbox, NOW)
    assert report.replayed == 2
    (kept,) = report.not_replayable
    assert kept.latest.original_value == values[1]
    assert {sent.value for sent in outbox.originals()} == {b"x", b"y"}
    assert kept.letter_id not in {change.letter_id for change in outbox.changes()}


async def test_a_record_on_which_several_services_failed_is_sent_once() -> None:
    outbox = Parcels()
    failures = [
        letter(b"x").model_copy(update={"service": name}) for name in ("embedder", "fp_miner")
    ]
    report = await replay(fold_letters(failures), outbox, NOW)
    assert report.replayed == len(outbox.originals()) == 1


async def test_a_discarded_letter_stays_and_waits_for_nothing() -> None:
    outbox = Parcels()
    failures = [letter(b"x"), letter(b"{}", topic=None)]
    assert await discard(fold_letters(failures), outbox, NOW) == 2
    after = fold_letters([*failures, *outbox.changes()])
    assert [letter.state for letter in after] == [LetterState.DISCARDED] * 2
