import pytest

from services.runtime.stores.mongo import Database
from services.runtime.stores.unreadable import UnreadableDocument
from services.runtime.stores.unreadable_mongo import MongoUnreadableLog
from tests.samples import CAPTURED_AT as NOW


def document(name: str, collection: str = "frames", content: bytes = b"{}") -> UnreadableDocument:
    return UnreadableDocument(collection, name, "no revision", "", content)


@pytest.fixture
def unreadable(empty_database: Database) -> MongoUnreadableLog:
    return MongoUnreadableLog(empty_database)


async def test_a_document_is_reported_once_whatever_was_read_of_it(
    unreadable: MongoUnreadableLog,
) -> None:
    await unreadable.note([document("a"), document("a")], NOW)
    await unreadable.note([], NOW)
    other = document("a", "matches")

    again = [document("a", content=b"part"), document("b"), other]
    assert await unreadable.unreported(again) == [document("b"), other]
    assert await unreadable.unreported([]) == []
