"""A crash between assigning, publishing and confirming loses nothing and gives one revision."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import BrokerUnavailable, InvalidRecord
from services.contracts.events import Event
from services.contracts.identity import VehicleId
from services.contracts.topics import GROUND_TRUTH
from services.domain.ports.ledger import RevisionLedger
from services.ground_truth.drafts import entry_of, owner_entry
from services.ground_truth.publishing import Accepted, RevisionPublisher, Submission
from services.runtime.stores.ledger_mongo import MongoRevisionLedger
from services.runtime.stores.mongo import connect
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.outbox import InMemoryOutbox
from tests.samples import (
    CAPTURED_AT,
    annotation,
    frame_annotated,
    frame_captured,
    predictions_made,
)

TRUTH = frame_annotated(annotation())
EMPTY = frame_annotated()
LETTER = DeadLettered(
    service="ingest",
    reason="missing_image",
    detail="no such file",
    location="gt.json:images[2]",
    original_value=b"{}",
    failed_at=CAPTURED_AT,
)
Call = Callable[[RevisionPublisher], Awaitable[object]]


async def latest(publisher: RevisionPublisher) -> list[Accepted]:
    return await publisher.publish([Submission(TRUTH), Submission(predictions_made())])


async def following(publisher: RevisionPublisher) -> Accepted | None:
    return await publisher.publish_next(TRUTH, after=1)


class CrashError(Exception):
    """The process ends here."""


@pytest.fixture(params=["in_memory", "mongod"])
async def ledger(request: pytest.FixtureRequest) -> AsyncIterator[RevisionLedger]:
    if request.param == "in_memory":
        yield InMemoryLedger()
        return
    database = connect(request.getfixturevalue("mongodb_url"), f"laws-{uuid4().hex[:8]}")
    yield MongoRevisionLedger(database, "broker-1")
    await database.client.drop_database(database.name)
    await database.client.close()


@pytest.fixture
def outbox() -> InMemoryOutbox:
    return InMemoryOutbox()


@pytest.fixture
def publisher(ledger: RevisionLedger, outbox: InMemoryOutbox) -> RevisionPublisher:
    return RevisionPublisher(ledger, outbox, "laws")


async def crash(call: Call, publisher: RevisionPublisher, step: str, *, after: bool) -> None:
    """Run the call until it crashes just before or just after one of its three steps."""
    part = publisher.outbox if step == "publish" else publisher.ledger
    whole = getattr(part, step)

    async def crashing(*args: object) -> None:
        if after:
            await whole(*args)
        raise CrashError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part, step, crashing)
        with pytest.raises(CrashError):
            await call(publisher)


def ids(events: list[Event]) -> set[str]:
    return {event.event_id for event in events}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["assign", "publish", "confirm"])
async def test_a_crash_at_any_step_loses_nothing_and_gives_one_revision(
    publisher: RevisionPublisher, outbox: InMemoryOutbox, step: str, *, after: bool
) -> None:
    await crash(latest, publisher, step, after=after)
    replayed = await latest(publisher)

    assert [accepted.revision for accepted in replayed] == [1, 1]
    assert ids(outbox.published) == {accepted.event_id for accepted in replayed}
    entries = {entry_of(TRUTH), entry_of(predictions_made())}
    assert await publisher.ledger.published(entries) == entries


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["assign_next", "publish", "confirm"])
async def test_a_change_that_crashed_at_any_step_is_one_revision_too(
    publisher: RevisionPublisher, outbox: InMemoryOutbox, step: str, *, after: bool
) -> None:
    await publisher.publish([Submission(EMPTY)])
    await crash(following, publisher, step, after=after)
    replayed = await following(publisher)

    assert replayed is not None
    assert replayed.revision == 2
    assert ids(outbox.published) == {EMPTY.event_id, replayed.event_id}


async def test_a_revision_is_durable_before_its_event_is_sent(
    publisher: RevisionPublisher, outbox: InMemoryOutbox
) -> None:
    await crash(latest, publisher, "publish", after=True)
    await publisher.publish([Submission(EMPTY)])

    (replayed, _) = await latest(publisher)

    assert replayed.revision == 1
    assert len(ids(outbox.published)) == 3  # another content never took the sent revision


async def test_nothing_is_confirmed_that_the_broker_has_not_acknowledged(
    publisher: RevisionPublisher, outbox: InMemoryOutbox
) -> None:
    outbox.failures = [BrokerUnavailable("away"), BrokerUnavailable("away")]

    with pytest.raises(BrokerUnavailable):
        await publisher.publish([Submission(TRUTH)], [LETTER])
    with pytest.raises(BrokerUnavailable):
        await publisher.publish_next(EMPTY, after=1)

    entries = [entry_of(TRUTH), entry_of(LETTER)]
    assert await publisher.ledger.published(entries) == set()
    assert await publisher.ledger.known([entry.subject for entry in entries]) == set()


async def test_of_two_changes_to_one_revision_only_the_first_is_sent(
    publisher: RevisionPublisher, outbox: InMemoryOutbox
) -> None:
    await publisher.publish([Submission(TRUTH)])

    assert await publisher.publish_next(EMPTY, after=1, tag="ana")
    assert await publisher.publish_next(EMPTY, after=1, tag="ben") is None
    assert await publisher.publish_next(TRUTH, after=1) is None
    assert len(outbox.published) == 2


async def test_an_undo_repeats_a_content_and_is_a_new_revision(
    publisher: RevisionPublisher, outbox: InMemoryOutbox
) -> None:
    await publisher.publish([Submission(TRUTH)])
    await publisher.publish_next(EMPTY, after=1)
    undone = await publisher.publish_next(TRUTH, after=2)

    assert undone is not None
    assert undone.revision == 3
    assert len(ids(outbox.published)) == 3


async def test_a_tag_makes_a_new_revision_of_an_equal_content(
    publisher: RevisionPublisher,
) -> None:
    submissions = [Submission(TRUTH), Submission(TRUTH, "http 1"), Submission(TRUTH)]

    assert [one.revision for one in await publisher.publish(submissions)] == [1, 2, 1]


async def test_an_acknowledged_dead_letter_is_not_sent_again(
    publisher: RevisionPublisher, outbox: InMemoryOutbox
) -> None:
    await publisher.publish([], [LETTER])
    await publisher.publish([Submission(TRUTH)], [LETTER])

    assert outbox.published == [LETTER, TRUTH]


async def test_an_id_that_another_image_or_vehicle_has_is_a_conflict(
    publisher: RevisionPublisher, outbox: InMemoryOutbox
) -> None:
    first = frame_captured()
    later = first.model_copy(update={"captured_at": CAPTURED_AT.replace(hour=11)})
    other_vehicle = first.model_copy(update={"vehicle_id": "v2"})

    assert await publisher.conflicting([first, frame_captured("f2")]) == []
    assert await publisher.conflicting([first, later, other_vehicle]) == [later, other_vehicle]
    with pytest.raises(InvalidRecord, match="another image"):
        await publisher.publish([Submission(frame_captured("f2")), Submission(later)])
    assert outbox.published == []


async def test_an_id_that_another_vehicle_has_claimed_is_a_conflict(
    publisher: RevisionPublisher,
) -> None:
    """An id may be claimed before any frame is published under it."""
    frame = frame_captured()
    await publisher.ledger.assign([owner_entry(frame.frame_id, VehicleId("v2"))])

    assert await publisher.conflicting([frame]) == [frame]


async def test_acknowledged_events_are_counted_by_topic_and_way(
    publisher: RevisionPublisher, outbox: InMemoryOutbox
) -> None:
    before = counted()
    outbox.failures = [BrokerUnavailable("away")]
    with pytest.raises(BrokerUnavailable):
        await publisher.publish([Submission(TRUTH)])

    await publisher.publish([Submission(TRUTH), Submission(predictions_made())], [LETTER])

    assert counted() == before + 1


def counted() -> float:
    labels = {"topic": GROUND_TRUTH.name, "way": "laws"}
    return REGISTRY.get_sample_value("gazeloop_ingested_records_total", labels) or 0.0


def test_nothing_else_confirms_entries_of_the_ledger() -> None:
    confirming = [
        path.name
        for path in (Path(__file__).parents[2] / "services").rglob("*.py")
        if "ledger.confirm(" in path.read_text()
    ]

    assert confirming == ["publishing.py"]
