"""What MongoDB can never hold is refused as such, and is not taken for an outage or a bug."""

from typing import Any

import pytest

from services.contracts.errors import Invalid
from services.runtime.stores.mongo import connect, literal, upsert, write

_HALF = "x" * 9_000_000


@pytest.mark.parametrize(
    "assigned",
    [
        [{"number": literal(2**63)}],
        [{"text": literal("x" * 17_000_000)}],
        [{"first": literal(_HALF)}, {"second": literal(_HALF)}],
        [{"": literal(1)}],
        [{"part.": literal(1)}],
        [{"a\x00b": literal(1)}],
    ],
    ids=["beyond 64 bits", "too large", "grown too large", "no name", "half a path", "NUL"],
)
async def test_a_document_that_cannot_be_stored_is_invalid(
    mongodb_url: str, assigned: list[dict[str, Any]]
) -> None:
    database = connect(mongodb_url, "unstorable")
    with pytest.raises(Invalid) as caught:
        await write(database["documents"], [upsert("one", document) for document in assigned])
    assert caught.value.reason == "unstorable_document"
    await database.client.close()
