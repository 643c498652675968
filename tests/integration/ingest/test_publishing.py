"""A data set on its way to a real broker, MongoDB and a folder."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from services.formats.items import Detector
from services.formats.readers.coco import read_coco
from services.ingest.publishing import publish_dataset
from services.ingest.source import Source
from services.ingest.summary import Count, Summary
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.outbox import KafkaOutbox
from services.runtime.settings import Settings
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.ledger_mongo import MongoRevisionLedger
from services.runtime.stores.mongo import connect
from tests.unit.ingest.datasets import coco, write_images, write_json


@dataclass(frozen=True)
class Parts:
    outbox: KafkaOutbox
    ledger: MongoRevisionLedger
    folder: Path

    async def ingest(self, file: Path, source: Source = Source.IMPORT) -> Summary:
        dataset = read_coco(
            file, images=self.folder / "images", dataset="street", detector=Detector("ods", "1")
        )
        return await publish_dataset(
            dataset.items,
            outbox=self.outbox,
            blobs=open_blobs((self.folder / "blobs").as_uri()),
            ledger=self.ledger,
            settings=Settings(),
            clock=SystemClock(),
            source=source,
        )


@pytest.fixture
async def parts(
    mongodb_url: str, memory_broker: BrokerAddress, tmp_path: Path
) -> AsyncIterator[Parts]:
    database = connect(mongodb_url, f"ingest-{uuid4().hex[:8]}")
    outbox = KafkaOutbox("ingest", memory_broker, Settings())
    write_images(tmp_path / "images", "b.jpg", "c d.jpg")
    yield Parts(outbox, MongoRevisionLedger(database, "broker"), tmp_path)
    await outbox.close()
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_a_data_set_goes_through_once_and_corrections_follow(parts: Parts) -> None:
    original = write_json(parts.folder / "gt.json", coco())
    corrected = coco()
    del corrected["annotations"][0]
    changed = write_json(parts.folder / "changed.json", corrected)

    first = await parts.ingest(original)
    again = await parts.ingest(original)
    correction = await parts.ingest(changed, Source.REANNOTATION)
    last = await parts.ingest(original)

    assert (first.frames, first.ground_truth) == (Count(published=2), Count(published=2))
    assert (again.frames, again.ground_truth) == (Count(known=2), Count(known=2))
    assert (correction.frames, correction.ground_truth) == (Count(), Count(published=2))
    assert last.ground_truth == Count(known=2)
    assert Counter(first.rejected) == Counter(correction.rejected) == Counter()
