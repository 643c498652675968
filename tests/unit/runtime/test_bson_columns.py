from typing import Any

import bson
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.metrics.match_columns import Names
from services.runtime.stores.bson_columns import BsonColumns

FIELDS = ["name", "count", "kept", "labels", "blob"]
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
DOCUMENTS = st.fixed_dictionaries(
    {
        "_id": WORDS,
        "name": WORDS,
        "count": st.integers(-(2**63), 2**63 - 1),
        "kept": st.booleans(),
        "inner": st.fixed_dictionaries(
            {
                "labels": st.lists(WORDS, max_size=12),
                "blob": st.lists(st.integers(0, 255), max_size=3).map(
                    lambda some: np.array(some, "<u2").tobytes()
                ),
            }
        ),
    }
)


def columns(*documents: dict[str, Any]) -> BsonColumns:
    return BsonColumns(b"".join(map(bson.encode, documents)), FIELDS)


def spelled(names: Names[str]) -> list[str]:
    return [names[k] for k in range(names.codes.size)]


@given(st.lists(DOCUMENTS, max_size=5))
def test_columns_say_what_the_driver_reads(documents: list[dict[str, Any]]) -> None:
    found = columns(*documents)
    inner = [document["inner"] for document in documents]
    assert len(found) == len(documents)
    assert spelled(found.strings("name")) == [document["name"] for document in documents]
    assert found.integers("count").tolist() == [document["count"] for document in documents]
    assert found.integers("kept").tolist() == [document["kept"] for document in documents]
    counts, labels = found.string_lists("labels")
    assert counts.tolist() == [len(document["labels"]) for document in inner]
    assert spelled(labels) == [label for document in inner for label in document["labels"]]
    assert found.joined("blob", "<u2").tobytes() == b"".join(d["blob"] for d in inner)


def test_each_string_is_spelled_once() -> None:
    names = columns({"name": "b"}, {"name": "a"}, {"name": "b"}).strings("name")
    assert (list(names.values), names.codes.tolist()) == (["b", "a"], [0, 1, 0])


def test_a_document_without_the_field_or_with_another_type_is_refused() -> None:
    found = columns({"name": "a", "count": 1, "labels": ["x", 3]}, {"name": b"a", "count": "1"})
    with pytest.raises(ValueError, match="name"):
        found.strings("name")
    with pytest.raises(ValueError, match="count"):
        found.integers("count")
    with pytest.raises(ValueError, match="blob"):
        found.joined("blob", "u1")
    with pytest.raises(ValueError, match="labels"):
        columns({"labels": ["x", 3]}).string_lists("labels")


def test_a_value_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="type"):
        columns({"name": None})
