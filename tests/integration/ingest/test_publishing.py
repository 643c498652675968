"""A data set on its way to a real broker, MongoDB and a folder."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from services.formats.items import Detector
from services.formats.readers.coco import read_coco
from services.ingest.parts import IngestParts
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from services.ingest.summary import Count, Summary
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.settings import Settings
from services.runtime.stores.opening import open_stores
from tests.samples import frame_matched
from tests.unit.ingest.datasets import coco, write_images, write_json


@dataclass(frozen=True)
class Ingest:
    parts: IngestParts
    folder: Path

    async def publish(self, file: Path, source: Source = Source.IMPORT) -> Summary:
        dataset = read_coco(
            file, images=self.folder / "images", dataset="street", detector=Detector("ods", "1")
        )
        return await publish_dataset(dataset.items, self.parts, source=source)


@pytest.fixture
async def ingest(
    mongodb_url: str, memory_broker: BrokerAddress, tmp_path: Path
) -> AsyncIterator[Ingest]:
    name = f"ingest-{uuid4().hex[:8]}"
    settings = Settings(data=tmp_path, mongodb=mongodb_url, mongodb_database=name)
    outbox = KafkaOutbox("ingest", memory_broker, settings)
    write_images(tmp_path / "images", "b.jpg", "c d.jpg")
    async with open_stores(settings, "broker") as stores:
        # The categories of the corrections are known.
        for category in coco()["categories"]:
            await stores.matches.record([frame_matched("known", category=category["name"])])
        yield Ingest(IngestParts.of(stores, outbox, settings, SystemClock()), tmp_path)
        await stores.database.client.drop_database(name)
    await outbox.close()


async def test_a_data_set_goes_through_once_and_corrections_follow(ingest: Ingest) -> None:
    original = write_json(ingest.folder / "gt.json", coco())
    corrected = coco()
    del corrected["annotations"][0]
    changed = write_json(ingest.folder / "changed.json", corrected)

    first = await ingest.publish(original)
    again = await ingest.publish(original)
    correction = await ingest.publish(changed, Source.REANNOTATION)
    last = await ingest.publish(original)

    assert (first.frames, first.ground_truth) == (Count(published=2), Count(published=2))
    assert (again.frames, again.ground_truth) == (Count(known=2), Count(known=2))
    assert (correction.frames, correction.ground_truth) == (Count(), Count(published=2))
    assert last.ground_truth == Count(known=2)
    assert Counter(first.rejected) == Counter(correction.rejected) == Counter()
