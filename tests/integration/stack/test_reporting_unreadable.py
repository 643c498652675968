"""A stored document that cannot be read gets one dead letter, whoever reads it."""

import pytest

from services.app.unreadable_letters import UnreadableReporter
from services.contracts.dead_letters import DeadLettered
from services.contracts.errors import BrokerUnavailable
from services.runtime.stores.mongo import connect
from services.runtime.stores.unreadable import UnreadableDocuments
from services.runtime.stores.unreadable_mongo import MongoUnreadableLog
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox


def met(*document_ids: str) -> UnreadableDocuments:
    """As a process has met them."""
    documents = UnreadableDocuments()
    for document_id in document_ids:
        documents.add("frames", document_id, {"_id": document_id}, ValueError("odd"))
    return documents


async def test_two_processes_and_a_restart_make_one_letter_of_a_document(mongodb_url: str) -> None:
    database = connect(mongodb_url, "reporting")
    reported, outbox = MongoUnreadableLog(database), InMemoryOutbox()
    for documents in (met("a", "b"), met("b", "c"), met("a", "b", "c")):
        await UnreadableReporter(reported, outbox, FakeClock(), documents).report()
    letters = [event for event in outbox.published if isinstance(event, DeadLettered)]
    assert [letter.location for letter in letters] == [f"mongodb:frames/{name}" for name in "abc"]
    assert {letter.reason for letter in letters} == {"unreadable_document"}
    await database.client.close()


async def test_what_the_broker_does_not_take_waits_for_the_next_time(mongodb_url: str) -> None:
    database = connect(mongodb_url, "reporting_later")
    reported, outbox, documents = MongoUnreadableLog(database), InMemoryOutbox(), met("a")
    outbox.failures = [BrokerUnavailable("away")]
    reporter = UnreadableReporter(reported, outbox, FakeClock(), documents)
    with pytest.raises(BrokerUnavailable):
        await reporter.report()
    await reporter.report()
    assert len(outbox.published) == 1
    await database.client.close()
