"""Create Label Studio tasks and their images; find tasks that an interrupted push created."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from services.annotation.label_studio import logic
from services.annotation.label_studio.client import LabelStudio
from services.annotation.label_studio.interface import Interface
from services.annotation.label_studio.links import LASTING, ImageLinks
from services.annotation.label_studio.plans import Plan, Pushed
from services.annotation.label_studio.tasks import KEY
from services.annotation.ports.annotation_tasks import TaskRecord, TaskStatus
from services.annotation.stores.opening import AnnotationStores
from services.contracts.errors import Invalid, InvalidRecord
from services.contracts.identity import FrameId
from services.domain.redaction import DeletedImage, HiddenImage
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TaskMaker:
    """Creates tasks; records each one first, so that none is created twice."""

    tool: LabelStudio
    stores: AnnotationStores
    settings: Settings
    clock: Clock
    links: ImageLinks

    async def make(
        self, project: int, interface: Interface, plans: Sequence[Plan], done: Pushed
    ) -> None:
        """Create a task for each plan whose frame has none; add what was done to `done`.

        Raises
        ------
        Transient
            A store or Label Studio is unreachable.
        """
        tried = [plan.record for plan in plans if plan.record.trying]
        existing = await self._existing_tasks(project, tried)
        fresh = []
        for plan in plans:
            if plan.record.frame_id in existing:
                await self._note_made(plan, interface, existing[plan.record.frame_id])
                done.adopted += 1
            else:
                fresh.append(plan)
        ready = [await self._with_image(project, plan, done) for plan in fresh]
        plans = [plan for plan in ready if plan is not None]
        try:
            done.created += await self._created(project, interface, plans)
        except InvalidRecord:  # one task is refused, and Label Studio takes all or none
            for plan in plans:
                done.created += await self._created_alone(project, interface, plan, done)

    async def _created_alone(
        self, project: int, interface: Interface, plan: Plan, done: Pushed
    ) -> int:
        try:
            return await self._created(project, interface, [plan])
        except InvalidRecord as exc:
            await self._refused(plan.record, exc, done)
            return 0

    async def _created(self, project: int, interface: Interface, plans: Sequence[Plan]) -> int:
        if not plans:
            return 0
        tasks = []
        for plan in plans:
            assert plan.target is not None
            await self.stores.annotation_tasks.note(plan.record.frame_id, trying=True)
            tasks.append(plan.target.task(interface, plan.record.image))
        ids = await self.tool.create_tasks(project, tasks)
        for plan, task_id in zip(plans, ids, strict=True):
            await self._note_made(plan, interface, task_id)
        return len(ids)

    async def _refused(self, record: TaskRecord, error: Invalid, done: Pushed) -> None:
        done.refused += 1
        log.error("task_not_made", frame_id=record.frame_id, error=str(error))
        await self.stores.annotation_tasks.note(
            record.frame_id, trying=False, status=TaskStatus.REFUSED
        )
        await self.stores.annotation_tasks.settle(record)

    async def _existing_tasks(
        self, project: int, records: Sequence[TaskRecord]
    ) -> dict[FrameId, int]:
        """Tasks that an interrupted push created; a frame's second task is deleted."""
        if not records:
            return {}
        frames = {logic.key_of(record.frame_id): record.frame_id for record in records}
        found: dict[FrameId, int] = {}
        for task in await self.tool.tasks_with_keys(project, list(frames)):
            frame_id = frames[task["data"][KEY]]
            if frame_id not in found:
                found[frame_id] = int(task["id"])
            elif logic.is_untouched(await self.tool.task(int(task["id"])) or {}):
                await self.tool.delete_task(int(task["id"]))
        return found

    async def _with_image(self, project: int, plan: Plan, done: Pushed) -> Plan | None:
        """The plan with an image that Label Studio can show; None if it is hidden or lost."""
        record, target = plan.record, plan.target
        assert target is not None
        if self.settings.public_url:
            until = self.clock.now() + LASTING
            link = await self.links.link(record.frame_id, until)
            return Plan(replace(record, image=link, link_until=until), target)
        if record.image.startswith("/data/"):
            return plan
        try:
            content = await self._content(record)
            image = await self.tool.upload(
                project, target.frame.file_name, content, target.frame.media_type
            )
        except Invalid as exc:
            if isinstance(exc, HiddenImage) and not isinstance(exc, DeletedImage):
                done.waiting.add(record.frame_id)
            else:
                await self._refused(record, exc, done)
            return None
        await self.stores.annotation_tasks.note(record.frame_id, image=image)
        return Plan(replace(record, image=image, link_until=None), target)

    async def _content(self, record: TaskRecord) -> bytes:
        frame = (await self.stores.frames.load([record.frame_id]))[record.frame_id]
        images = ShownImages.of(self.stores.blobs, self.settings)
        return await asyncio.to_thread(images.content, images.of_frame(frame))

    async def _note_made(self, plan: Plan, interface: Interface, task_id: int) -> None:
        assert plan.target is not None
        record = plan.record
        await self.stores.annotation_tasks.note(
            record.frame_id,
            task_id=task_id,
            trying=False,
            status=TaskStatus.OPEN,
            asked=plan.target.digest(interface),
            image=record.image,
            link_until=record.link_until,
        )
        await self.stores.annotation_tasks.settle(record)
