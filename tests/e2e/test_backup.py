"""A backup that is made in the middle of a stream, restored elsewhere with the broker's log."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.app.assembly import running
from services.app.backup.making import back_up
from services.app.backup.places import open_backups
from services.app.backup.restoring import restoring
from services.app.parts import App
from services.app.reporting import read_reports
from services.contracts.events import Event
from services.contracts.flow import SERVICES
from services.embedder.service import EmbedFrames
from services.formats.items import Detector, Item
from services.formats.readers.coco import read_coco
from services.ingest.parts import IngestParts
from services.ingest.publishing import publish_dataset
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from services.runtime.settings_reading import load_settings
from services.survey import detector
from services.survey.generate import generate_survey

DRIVES, FRAMES = 10, 6


def _settings(data: Path, blobs: Path) -> Settings:
    return load_settings(
        data=data,
        blobs=str(blobs),
        embedder="gazeloop-small",
        http_port=0,
        metrics_port=0,
        shortlist_early=0.0,
    )


def _survey(folder: Path) -> list[Item]:
    files = generate_survey(folder, drives=DRIVES, frames_per_drive=FRAMES)
    dataset = read_coco(
        files.ground_truth_json,
        images=files.images_dir,
        predictions=files.predictions_json,
        detector=Detector(detector.NAME, detector.VERSION),
        dataset="survey",
    )
    return list(dataset.items)


async def _publish(app: App, items: Sequence[Item]) -> None:
    parts = IngestParts.of(app.stores, app.outbox, app.settings, SystemClock())
    await publish_dataset(items, parts)


async def _reports(app: App) -> list[object]:
    await app.caught_up()
    return [report.model_dump() for report in await read_reports(app, 0)]


def test_services_go_on_from_the_cut_and_the_report_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, go_on = EmbedFrames.run, asyncio.Event()

    async def held(self: EmbedFrames, events: Sequence[Event]) -> None:
        await go_on.wait()  # else all might be done before the cut
        await embed(self, events)

    monkeypatch.setattr(EmbedFrames, "run", held)
    items = _survey(tmp_path / "survey")
    here, there = (_settings(tmp_path / name, tmp_path / "blobs") for name in ("here", "there"))
    folder = open_backups(str(tmp_path / "backups"))
    half = len(items) // 2

    async def backed_up() -> list[object]:
        async with running(here, SERVICES) as app:
            await _publish(app, items[:half])
            manifest = await back_up(app, folder, SystemClock(), lambda _: None)
            assert manifest.cut.backlog  # the stream was not processed yet
            go_on.set()
            await _publish(app, items[half:])
            return await _reports(app)

    async def restored() -> list[object]:
        async with restoring(there) as stores:
            done = await stores.restore(folder, folder.manifest(), SystemClock(), lambda _: None)
            assert done.goes_on
        async with running(there, SERVICES) as app:
            return await _reports(app)

    expected = asyncio.run(backed_up())
    shutil.copytree(here.data / "kafka", there.data / "kafka")

    assert asyncio.run(restored()) == expected
    assert expected
