"""What an erasure cannot reach in Label Studio and in Kafka is named."""

from collections.abc import Collection
from typing import cast

import pytest

from services.annotation.ports.annotation_tasks import AnnotationTasks, TaskRecord
from services.app.erasure import outside
from services.app.erasure.outside import BackupCopies, LabelStudioCopies, TopicCopies
from services.app.erasure.tool_tasks import ToolTaskTraces
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct, AuditRecord
from services.runtime.kafka.kept_records import KeptRecords
from services.runtime.settings import Settings
from tests.fakes.audit import InMemoryAuditLog
from tests.samples import CAPTURED_AT

UPLOAD = "/data/upload/1/a.jpg"


class _Tasks:
    async def of_frames(self, frame_ids: Collection[FrameId]) -> dict[FrameId, TaskRecord]:
        known = {
            FrameId("uploaded"): TaskRecord(FrameId("uploaded"), task_id=7, image=UPLOAD),
            FrameId("linked"): TaskRecord(FrameId("linked"), task_id=8, image="https://ingest/i"),
        }
        return {frame_id: known[frame_id] for frame_id in frame_ids if frame_id in known}


TASKS = cast("AnnotationTasks", _Tasks())
FRAMES = [FrameId("uploaded"), FrameId("linked"), FrameId("never sent")]


async def test_tasks_are_named_where_no_settings_say_how_to_delete_them() -> None:
    tasks, images = await LabelStudioCopies(TASKS, Settings()).of(FRAMES)
    assert tasks.ids == ("7", "8")
    assert "GAZELOOP_LABEL_STUDIO_URL" in tasks.remedy
    assert images.ids == (UPLOAD,)
    await ToolTaskTraces(TASKS, Settings()).erase(FRAMES)


async def test_uploaded_images_are_named_because_deleting_a_task_keeps_them() -> None:
    reached = Settings(label_studio_url="http://studio", label_studio_token="token")
    (images,) = await LabelStudioCopies(TASKS, reached).of(FRAMES)
    assert images.ids == (UPLOAD,)
    assert await LabelStudioCopies(TASKS, reached).of([FrameId("linked")]) == []


async def test_backups_are_named_wherever_they_were_written() -> None:
    log = InMemoryAuditLog()
    assert await BackupCopies(log).of(FRAMES) == []
    for place in ("s3://backups/gazeloop", "/mnt/backups", "/mnt/backups"):
        await log.append(AuditRecord(CAPTURED_AT, AuditAct.BACKED_UP, "root", place))
    (backups,) = await BackupCopies(log).of(FRAMES)
    assert backups.ids == ("/mnt/backups", "s3://backups/gazeloop")
    assert "--keep" in backups.remedy


async def test_kafkas_records_are_named_by_offsets_and_how_long_they_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day = 86_400_000
    kept = [
        KeptRecords("gaze.frames", {0: 12, 1: 9}, 7 * day),
        KeptRecords("gaze.needles", {0: 2}, 7 * day),
        KeptRecords("gaze.dead-letters", {0: 1}, -1),
    ]
    answers = iter([kept])
    monkeypatch.setattr(outside, "kept_records", lambda *_: next(answers))
    copies = TopicCopies(Settings(kafka="127.0.0.1:9"))
    await copies.of([FrameId("a")])
    weekly, forever = await copies.of([FrameId("b")])  # looked at once
    assert weekly.ids == ("gaze.frames before 0:12, 1:9", "gaze.needles before 0:2")
    assert "expire in 7 days" in weekly.remedy
    assert "never expire" in forever.remedy
