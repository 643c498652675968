"""Which frames retention erases, and at which rate."""

import csv
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from services.app.erasure.eraser import FrameEraser, Outside
from services.app.retention.archiving import archive_cold_frames
from services.app.retention.sweeper import RetentionSweeper
from services.contracts.identity import DriveId, FrameId, ModelId, frame_hash
from services.domain.ports.audit import AuditAct
from services.domain.ports.erasure import RETENTION
from services.domain.ports.retention import OldFrame
from services.formats.writers.tables import TableFormat
from services.runtime.settings import Settings
from tests import samples
from tests.fakes.audit import InMemoryAuditLog
from tests.fakes.blobs import InMemoryBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.frames import InMemoryFrameStore
from tests.fakes.outbox import InMemoryOutbox
from tests.fakes.tombstones import InMemoryTombstones
from tests.fakes.traces import InMemoryTraces

NAMES = [FrameId(f"f{number:02}") for number in range(10)]
HOUR_S = 3600.0


@dataclass
class OldRecords:
    """Frames as given, and numbers of old decisions and figures."""

    frames: list[OldFrame]
    asked: list[datetime] = field(default_factory=list)
    decisions: int = 7
    figures: int = 7
    archived: datetime | None = None
    images: dict[FrameId, str] = field(default_factory=dict)
    imports: int = 7
    models: Mapping[ModelId, datetime] = field(default_factory=dict)

    async def old_frames(
        self, before: datetime, after: str, limit: int
    ) -> tuple[Sequence[OldFrame], str]:
        self.asked.append(before)
        found = [frame for frame in self.frames if frame.frame_id > after][:limit]
        return found, found[-1].frame_id if found else ""

    async def count_old_frames(self, before: datetime) -> int:
        self.asked.append(before)
        return len(self.frames)

    async def old_images(
        self, before: datetime, after: str, limit: int
    ) -> tuple[Sequence[FrameId], str]:
        self.asked.append(before)
        found = [name for name in self.images if name > after][:limit]
        return found, found[-1] if found else ""

    async def count_old_images(self, before: datetime) -> int:
        self.asked.append(before)
        return len(self.images)

    async def images_only_of(self, frame_ids: Collection[FrameId]) -> Sequence[str]:
        return [self.images[frame_id] for frame_id in frame_ids]

    async def note_images_deleted(self, frame_ids: Collection[FrameId]) -> None:
        for frame_id in frame_ids:
            del self.images[frame_id]

    async def archived_before(self) -> datetime | None:
        return self.archived

    async def note_archived(self, before: datetime) -> None:
        self.archived = before

    async def drop_decisions(self, before: datetime, limit: int) -> int:
        self.asked.append(before)
        dropped, self.decisions = min(limit, self.decisions), max(0, self.decisions - limit)
        return dropped

    async def drop_imports(self, before: datetime, limit: int) -> int:
        self.asked.append(before)
        dropped, self.imports = min(limit, self.imports), max(0, self.imports - limit)
        return dropped

    async def note_replaced(self, models: Collection[ModelId], now: datetime) -> None:
        self.models = {model: self.models.get(model, now) for model in models}

    async def replaced(self) -> Mapping[ModelId, datetime]:
        return self.models

    async def drop_figures(self, before: datetime, limit: int) -> int:
        self.asked.append(before)
        dropped, self.figures = min(limit, self.figures), max(0, self.figures - limit)
        return dropped


class World:
    def __init__(self, frames: list[OldFrame], **settings: float | str) -> None:
        self.records = OldRecords(frames)
        self.traces = InMemoryTraces("frames", NAMES)
        self.tombstones = InMemoryTombstones()
        self.audit = InMemoryAuditLog()
        self.clock = FakeClock()
        self.blobs = InMemoryBlobs()
        outside = Outside([], InMemoryAuditLog(), FakeClock())
        eraser = FrameEraser(self.tombstones, [self.traces], InMemoryOutbox(), outside)
        self.settings = Settings(**settings)  # type: ignore[arg-type]  # pydantic checks
        self.sweeper = RetentionSweeper(
            self.records,
            self.blobs,
            lambda: eraser,
            self.audit,
            settings=self.settings,
            clock=self.clock,
        )


def old(name: FrameId, *, listed: bool = False, drive: str | None = None) -> OldFrame:
    return OldFrame(name, DriveId(drive) if drive else None, listed)


async def test_nothing_is_erased_unless_a_setting_says_so() -> None:
    world = World([old(name) for name in NAMES])
    assert await world.sweeper.sweep_frames() == 0
    await world.sweeper.sweep_records()
    assert world.records.asked == []
    assert world.traces.held == NAMES


async def test_unlisted_haystack_frames_are_erased_for_good() -> None:
    frames = [old(NAMES[0]), old(NAMES[1], listed=True), old(NAMES[2])]
    world = World(frames, retain_unlisted_days=90.0, reference_share=0.000001)
    assert await world.sweeper.sweep_frames() == 2
    assert world.records.asked == [world.clock.now() - timedelta(days=90)]
    assert world.traces.held == [NAMES[1], *NAMES[3:]]
    assert await world.tombstones.erased(NAMES) == {NAMES[0], NAMES[2]}
    request = world.tombstones.held[frame_hash(NAMES[0])].request
    assert (request.requested_by, request.reason) == (RETENTION, "unlisted for 90 days")
    (record,) = world.audit.records
    assert (record.act, record.by, record.details["frames"]) == (AuditAct.ERASED, RETENTION, 2)


async def test_frames_of_the_reference_are_kept() -> None:
    world = World([old(n) for n in NAMES], retain_unlisted_days=90.0, reference_share=0.999999)
    assert await world.sweeper.sweep_frames() == 0
    assert world.traces.held == NAMES
    assert world.audit.records == []


async def test_a_round_erases_no_more_than_the_rate_and_passes_are_an_hour_apart() -> None:
    world = World(
        [old(name) for name in NAMES],
        retain_unlisted_days=90.0,
        retention_per_minute=4,
        reference_share=0.000001,
    )
    assert [await world.sweeper.sweep_frames() for _ in range(4)] == [4, 4, 2, 0]
    rounds = len(world.records.asked)
    assert await world.sweeper.sweep_frames() == 0
    assert len(world.records.asked) == rounds
    world.clock.advance(HOUR_S)
    await world.sweeper.sweep_frames()
    assert len(world.records.asked) == rounds + 1


async def test_frames_may_wait_for_an_archive(tmp_path: Path) -> None:
    frames = InMemoryFrameStore()
    await frames.record(
        [
            samples.frame_captured(NAMES[0]),
            samples.predictions_made(samples.detection(), frame_id=NAMES[0]),
        ]
    )
    world = World(
        [old(NAMES[0]), old(NAMES[1], listed=True)],
        retain_unlisted_days=90.0,
        retain_until_archived=True,
        reference_share=0.000001,
    )
    assert await world.sweeper.sweep_frames() == 0
    before, rule = world.clock.now() - timedelta(days=95), world.settings.split_rule
    written = await archive_cold_frames(
        world.records, frames, rule, before, form=TableFormat.CSV, folder=tmp_path / "cold"
    )
    assert written == {"frames": 1, "predictions": 1}
    (row,) = csv.DictReader((tmp_path / "cold" / "predictions.csv").read_text().splitlines())
    assert (row["frame_id"], row["detector"], row["category"]) == ("f00", "ods@1", "stop sign")
    assert await world.sweeper.sweep_frames() == 1
    assert world.records.asked[-1] == before


@pytest.mark.parametrize("form", TableFormat)
async def test_an_archive_is_on_the_disk_before_frames_may_be_erased(
    form: TableFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, sync = World([]), os.fsync
    synced: set[Path] = set()

    def noted(descriptor: int) -> None:
        assert world.records.archived is None
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    folder, rule = tmp_path / "archives" / "cold", world.settings.split_rule
    frames, before = InMemoryFrameStore(), world.clock.now()
    await archive_cold_frames(world.records, frames, rule, before, form=form, folder=folder)

    assert world.records.archived == before
    assert synced == {*folder.iterdir(), folder, folder.parent, tmp_path}


async def test_decisions_and_figures_have_their_own_ages() -> None:
    world = World([], retain_verdicts_days=365.0, retain_figures_days=30.0, retention_per_minute=5)
    await world.sweeper.sweep_records()
    now = world.clock.now()
    assert world.records.asked == [now - timedelta(days=365), now - timedelta(days=30)]
    assert (world.records.decisions, world.records.figures) == (2, 2)


async def test_old_images_are_deleted_at_a_bounded_rate_and_noted_once_they_are() -> None:
    world = World([], retain_images_days=30.0, retention_per_minute=2)
    for name in NAMES[:3]:
        world.records.images[name] = world.blobs.put(name.encode())
    assert [await world.sweeper.sweep_images() for _ in range(4)] == [2, 1, 0, 0]
    assert set(world.records.asked) == {world.clock.now() - timedelta(days=30)}
    assert world.blobs.contents == {}
    assert world.records.images == {}


async def test_images_are_kept_unless_a_setting_says_otherwise() -> None:
    world = World([])
    world.records.images[NAMES[0]] = world.blobs.put(b"an image")
    assert await world.sweeper.sweep_images() == 0
    assert world.records.asked == []
