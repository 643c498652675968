"""One Label Studio for all tests here; each has a project and a world of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from services.annotation.stores.opening import AnnotationStores, open_annotation_stores
from services.app.label_studio_parts import LabelStudioParts, label_studio
from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId
from services.contracts.needles import ShortlistPublished
from services.domain.ports.ledger import Entry
from services.runtime.settings import Settings
from services.runtime.stores.mongo import connect
from services.runtime.stores.opening import open_stores
from tests.fakes.clock import FakeClock
from tests.fakes.outbox import InMemoryOutbox
from tests.integration.label_studio import server as real
from tests.review_world import add_needle


@dataclass(frozen=True)
class Studio:
    """Gazeloop with one needle and four candidates, and its project in Label Studio."""

    server: real.Server
    settings: Settings
    stores: AnnotationStores
    parts: LabelStudioParts
    outbox: InMemoryOutbox
    clock: FakeClock

    @property
    def title(self) -> str:
        return self.settings.label_studio_project

    @property
    def corrections(self) -> list[FrameAnnotated]:
        return [truth for truth in self.outbox.published if isinstance(truth, FrameAnnotated)]

    def task_of(self, frame_id: str) -> dict[str, Any]:
        (task,) = [
            document
            for document in self.server.tasks(self.title)
            if document["data"]["frame_id"] == frame_id
        ]
        return task

    async def shortlist(self) -> ShortlistPublished:
        (found,) = [record.shortlist async for record in self.stores.needles.scan()]
        assert found is not None
        return found


REDACTION: dict[str, object] = {"redact": "face", "redact_detector": "faces"}
"""Settings that hide every image of the world, because no such detector has looked at it."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Server]:
    with real.label_studio(tmp_path_factory.mktemp("label-studio")) as running:
        yield running


@asynccontextmanager
async def studio_on(
    server: real.Server, mongodb_url: str, folder: Path, **settings: object
) -> AsyncIterator[Studio]:
    name = uuid4().hex[:8]
    wanted = Settings(
        data=folder,
        mongodb=mongodb_url,
        mongodb_database=f"label-studio-{name}",
        label_studio_url=server.url,
        label_studio_token=SecretStr(server.token),
        label_studio_project=f"Gazeloop {name}",
        **settings,  # type: ignore[arg-type]  # pydantic checks
    )
    clock, outbox = FakeClock(), InMemoryOutbox()
    async with (
        open_stores(wanted, "a broker") as shared,
        label_studio(AnnotationStores.of(shared), outbox, wanted, clock) as parts,
    ):
        stores = await open_annotation_stores(shared)
        await add_needle(stores, 0, candidates=4)
        studio = Studio(server, wanted, stores, parts, outbox, clock)
        await stores.annotation_tasks.ask([await studio.shortlist()])
        # As ingest leaves it: the ground truth that is there is revision 1 in the ledger, too.
        frames = [FrameId(f"h000-{place}") for place in range(4)]
        entries = [Entry(f"ground_truth {frame_id}", "as imported") for frame_id in frames]
        await stores.ledger.assign(entries)
        yield studio
        database = connect(mongodb_url, wanted.mongodb_database)
        await database.client.drop_database(database.name)
        await database.client.close()


@pytest.fixture
async def studio(server: real.Server, mongodb_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio_on(server, mongodb_url, tmp_path) as studio:
        yield studio
