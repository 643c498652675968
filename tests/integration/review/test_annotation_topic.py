"""The consumer that docs/annotation-topic.md promises, run as it stands there."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import jsonschema

from services.contracts.codec import encode
from services.contracts.needles import ShortlistPublished
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.settings import Settings
from tests.samples import needle_found, shortlist_published

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/annotation-topic.md").read_text()
SCHEMA = json.loads((ROOT / "services/contracts/schemas/ShortlistPublished.json").read_text())
(CODE,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
DEADLINE_S = 240


@asynccontextmanager
async def consumer(code: str, kafka: BrokerAddress) -> AsyncIterator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, ",".join(kafka.servers), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        await process.wait()


async def tasks(lines: asyncio.StreamReader, needle_id: str, count: int) -> list[object]:
    """The next lines about a needle; those of other tests are passed over."""
    found: list[object] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            needle, *rest = json.loads(await lines.readline())
            found += [rest] if needle == needle_id else []
    return found


def test_the_consumer_has_no_more_than_twenty_lines() -> None:
    assert len(CODE.splitlines()) <= 20


async def test_the_documents_consumer_sees_each_revision_once_and_in_order(
    kafka: BrokerAddress,
) -> None:
    needle = needle_found(f"frame-{uuid4().hex[:8]}")
    first = shortlist_published(needle, "h1", revision=1)
    second = shortlist_published(needle, "h1", "h2", revision=2)
    gone = shortlist_published(needle, revision=3)
    code = CODE.replace("annotation-team", f"annotation-team-{uuid4().hex[:8]}")
    outbox = KafkaOutbox("retriever", kafka, Settings())
    try:
        await outbox.publish([first, first, second, first, second, gone])
        async with consumer(code, kafka) as lines:
            seen = await tasks(lines, needle.needle_id, 3)
    finally:
        await outbox.close()

    def asked(event: ShortlistPublished) -> list[object]:
        return [
            [candidate.frame_id, candidate.category, list(candidate.bbox)]
            for candidate in event.candidates
        ]

    assert seen == [[1, asked(first)], [2, asked(second)], [3, []]]


def test_what_is_published_is_what_the_linked_schema_says() -> None:
    event = shortlist_published(needle_found(), "h1", "h2")

    jsonschema.validate(json.loads(encode(event)), SCHEMA)
