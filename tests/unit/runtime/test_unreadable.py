from typing import Any

import pytest

from services.contracts.errors import Fatal, InvalidRecord, StoreUnavailable
from services.runtime.stores import unreadable
from services.runtime.stores.unreadable import UnreadableDocuments, readable


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> UnreadableDocuments:
    documents = UnreadableDocuments()
    monkeypatch.setattr(unreadable, "UNREADABLE", documents)
    return documents


def number(document: dict[str, Any]) -> int:
    return int(document["number"])


def test_a_document_that_cannot_be_read_is_left_out_with_its_place(
    documents: UnreadableDocuments,
) -> None:
    stored: list[dict[str, Any]] = [
        {"_id": "a", "number": 1},
        {"_id": "b", "number": "x"},
        {"_id": "c"},
    ]
    assert readable("things", stored, number) == [1]
    first, second = documents.take()
    assert first.location == "mongodb:things/b"
    assert "invalid literal" in first.detail
    assert b'"number": "x"' in first.content
    assert second.location == "mongodb:things/c"


def test_a_document_is_reported_once_however_often_it_is_read(
    documents: UnreadableDocuments,
) -> None:
    for _ in range(3):
        readable("things", [{"_id": "b"}], number)
    assert len(documents.take()) == 1
    assert documents.take() == []


def test_what_could_not_be_reported_waits_again(documents: UnreadableDocuments) -> None:
    readable("things", [{"_id": "b"}], number)
    taken = documents.take()
    documents.restore(taken)
    assert documents.take() == taken


@pytest.mark.parametrize("error", [InvalidRecord("x"), OverflowError(), KeyError("x")])
def test_whatever_a_value_raises_is_the_documents(
    documents: UnreadableDocuments, error: Exception
) -> None:
    def parse(_: dict[str, Any]) -> int:
        raise error

    assert readable("things", [{"_id": "b"}], parse) == []
    assert len(documents.take()) == 1


@pytest.mark.parametrize("error", [StoreUnavailable("away"), Fatal("x"), MemoryError(), OSError()])
def test_what_a_machine_raises_is_not_the_documents(error: BaseException) -> None:
    def parse(_: dict[str, Any]) -> int:
        raise error

    with pytest.raises(type(error)):
        readable("things", [{"_id": "b"}], parse)


def test_a_document_that_is_not_json_is_described_all_the_same(
    documents: UnreadableDocuments,
) -> None:
    readable("things", [{"_id": "b", "number": object()}], number)
    (found,) = documents.take()
    assert b"object" in found.content


def test_of_a_collection_that_nobody_can_read_a_bounded_number_is_reported(
    documents: UnreadableDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreadable, "_MAX_WAITING", 3)
    readable("things", [{"_id": name} for name in "abcde"], number)

    assert [document.document_id for document in documents.take()] == ["a", "b", "c"]
    readable("things", [{"_id": name} for name in "abcde"], number)
    assert documents.take() == []
