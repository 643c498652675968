"""Copies of erased frames in annotation tools, backups and Kafka's log, for people to delete."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from services.annotation.ports.annotation_tasks import AnnotationTasks
from services.app.cvat_tasks import cvat_server
from services.contracts.bounds import FIRST_TIME
from services.contracts.errors import GazeloopError
from services.contracts.identity import FrameId
from services.domain.ports.audit import AuditAct, AuditLog
from services.domain.ports.erasure import OutsideCopy
from services.formats.writers.frames import stem_of
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.kept_records import KeptRecords, kept_records
from services.runtime.kafka.topic_layout import DAY_MS
from services.runtime.settings import Settings


class LabelStudioCopies:
    """Images that Label Studio keeps when a task is deleted, and tasks out of reach."""

    def __init__(self, tasks: AnnotationTasks, settings: Settings) -> None:
        self._tasks = tasks
        self._settings = settings

    async def of(self, frame_ids: Collection[FrameId]) -> list[OutsideCopy]:
        records = (await self._tasks.of_frames(frame_ids)).values()
        tasks = sorted(record.task_id for record in records if record.task_id is not None)
        uploads = sorted(record.image for record in records if record.image.startswith("/data/"))
        found = []
        if tasks and not self._settings.label_studio_url:
            remedy = "set GAZELOOP_LABEL_STUDIO_URL and erase again, or delete the tasks there"
            found.append(OutsideCopy("tasks in Label Studio", tuple(map(str, tasks)), remedy))
        if uploads:
            remedy = "delete these files from Label Studio's media folder or bucket"
            found.append(OutsideCopy("images in Label Studio", tuple(uploads), remedy))
        return found


class CvatCopies:
    """Tasks in CVAT that show the frames; each may show others too."""

    where = "tasks in CVAT"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def of(self, frame_ids: Collection[FrameId]) -> list[OutsideCopy]:
        url = self._settings.cvat_url
        if not url:
            return []
        stems = {stem_of(frame_id) for frame_id in frame_ids}
        try:
            tasks = await asyncio.to_thread(self._tasks_with, stems)
        except GazeloopError as exc:
            remedy = f"not looked at: {exc}; delete tasks with these images at {url}"
            return [OutsideCopy(self.where, tuple(sorted(stems)), remedy)]
        remedy = f"delete them at {url}; `gazeloop cvat push` makes new ones for their other frames"
        return [OutsideCopy(self.where, tuple(map(str, tasks)), remedy)] if tasks else []

    def _tasks_with(self, stems: Collection[str]) -> list[int]:
        with cvat_server(self._settings) as server:
            images = server.images_by_task()
        return sorted(
            task
            for task, names in images.items()
            if any(Path(name).stem in stems for name in names)
        )


class BackupCopies:
    """Backups, whose contents are not read."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def of(self, frame_ids: Collection[FrameId]) -> Sequence[OutsideCopy]:
        del frame_ids
        records = self._audit.since(FIRST_TIME)
        places = {record.on async for record in records if record.act is AuditAct.BACKED_UP}
        remedy = "may have the frames, until `gazeloop backup TO --keep N` deletes older backups"
        return [OutsideCopy("backups", tuple(sorted(places)), remedy)] if places else []


class TopicCopies:
    """Kafka's records, which expire, and cannot be deleted one by one.

    They are checked once: whatever names the frames of a request is published by then.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: Sequence[KeptRecords] | None = None

    async def of(self, frame_ids: Collection[FrameId]) -> Sequence[OutsideCopy]:
        del frame_ids
        if self._kept is None:
            broker = BrokerAddress.of(self._settings)
            self._kept = await asyncio.to_thread(kept_records, broker, self._settings)
        topics: defaultdict[str, list[str]] = defaultdict(list)
        for item in self._kept:
            ends = ", ".join(f"{number}:{end}" for number, end in sorted(item.ends.items()))
            topics[_remedy(item.retention_ms)].append(f"{item.topic} before {ends}")
        return [
            OutsideCopy("Kafka's log", tuple(names), remedy) for remedy, names in topics.items()
        ]


def _remedy(retention_ms: int) -> str:
    how = "`kafka-configs.sh --alter --add-config retention.ms=…` for a while"
    if retention_ms < 0:
        return f"records of these offsets never expire; {how} deletes them"
    return f"records before these offsets expire in {retention_ms / DAY_MS:g} days; sooner: {how}"
