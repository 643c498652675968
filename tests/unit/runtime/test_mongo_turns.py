import asyncio
from collections.abc import AsyncIterator

from services.runtime.stores.mongo import Document, in_turns


async def test_whatever_else_goes_on_has_its_turn_while_many_documents_are_handed_out() -> None:
    async def received() -> AsyncIterator[Document]:
        for number in range(1_000):
            yield {"_id": number}

    seen, seen_by_other = 0, []

    async def other() -> None:
        while seen < 1_000:
            seen_by_other.append(seen)
            await asyncio.sleep(0)

    going_on = asyncio.create_task(other())
    async for document in in_turns(received()):
        assert document == {"_id": seen}
        seen += 1
    await going_on
    assert seen == 1_000
    assert len(seen_by_other) >= 10
