"""Push shortlists to Label Studio: one task per frame, however often they are sent."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from services.annotation.label_studio import logic
from services.annotation.label_studio.client import LabelStudio
from services.annotation.label_studio.interface import Interface
from services.annotation.label_studio.links import LASTING, RENEWED, ImageLinks
from services.annotation.label_studio.making import TaskMaker
from services.annotation.label_studio.plans import Plan, Pushed
from services.annotation.label_studio.project import (
    ensure_project,
    fill_in_predictions,
    offer_labels,
)
from services.annotation.label_studio.tasks import Json
from services.annotation.ports.annotation_tasks import TaskRecord, TaskStatus
from services.annotation.stores.opening import AnnotationStores
from services.contracts.errors import ToolUnavailable
from services.contracts.identity import Category, FrameId
from services.runtime.clock import Clock
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

_BATCH = 50
_LEASE = timedelta(seconds=120)
_AWAITED_S = 0.5


@dataclass(frozen=True)
class Pusher:
    """Creates, updates and deletes Label Studio's tasks to match the shortlists.

    A task has a key derived from its frame, and a push is recorded before it starts: after an
    interrupted one, the next push looks for the key first. One process pushes at a time.
    """

    tool: LabelStudio
    stores: AnnotationStores
    settings: Settings
    clock: Clock
    links: ImageLinks
    maker: TaskMaker
    _holder: str = field(default_factory=lambda: secrets.token_hex(8))

    async def push(self, *, wait_s: float = 0.0) -> Pushed:
        """Process every frame that is due, except those whose images stay hidden.

        Parameters
        ----------
        wait_s : how long to wait for another pushing process

        Raises
        ------
        Transient
            A store or Label Studio is unreachable, or another process keeps pushing.
        InvalidSettings
            Label Studio refuses the token, or the project is unusable.
        """
        await self._lease(wait_s)
        pushed = Pushed()
        try:
            project, interface = await ensure_project(self.tool, self.settings, self.stores)
            pushed.adopted += await self._adopt_all(project)
            due = self.stores.annotation_tasks.due
            while records := await due(_BATCH, without=pushed.waiting):
                await self._lease(0.0)
                plans = await self._plans(records)
                labels = _labels(plans)
                interface = await offer_labels(self.tool, project, interface, labels)
                await self._settle(project, interface, plans, pushed)
            if pushed.created:
                await fill_in_predictions(self.tool, project)
        finally:
            await self.stores.annotation_tasks.release(self._holder)
        counts = pushed.counts()
        if any(counts.values()):
            log.info("label_studio_pushed", **counts)
        return pushed

    async def _lease(self, wait_s: float) -> None:
        tasks = self.stores.annotation_tasks
        end = self.clock.monotonic() + wait_s
        while not await tasks.lease(self._holder, self.clock.now(), _LEASE):
            if self.clock.monotonic() >= end:
                raise ToolUnavailable("another process pushes to Label Studio at the moment")
            await asyncio.sleep(_AWAITED_S)

    async def _adopt_all(self, project: int) -> int:
        """Record Gazeloop tasks in the project that have no record, once per project."""
        tasks = self.stores.annotation_tasks
        if (await tasks.state()).project == project:
            return 0
        found = await self.tool.our_tasks(project)
        for document in found:
            data = document["data"]
            await tasks.note(
                FrameId(data["frame_id"]),
                task_id=int(document["id"]),
                asked=data.get(logic.ASKED, ""),
                status=TaskStatus.OPEN,
            )
        await tasks.note_state(project=project, since="")
        return len(found)

    async def _plans(self, records: Sequence[TaskRecord]) -> list[Plan]:
        ids = [record.frame_id for record in records]
        frames = await self.stores.frames.load(ids)
        truths = await self.stores.corrections.latest_truths(frames.values())
        shortlists = await self.stores.annotation_tasks.asking(ids)
        operating = self.settings.operating_scores
        targets = {
            frame_id: logic.task_for(frame, truths.get(frame_id), shortlists, operating)
            for frame_id, frame in frames.items()
        }
        return [Plan(record, targets.get(record.frame_id)) for record in records]

    async def _settle(
        self, project: int, interface: Interface, plans: Sequence[Plan], done: Pushed
    ) -> None:
        new: list[Plan] = []
        for plan in plans:
            record = plan.record
            if plan.target is None:
                await self._withdraw(record, done)
            elif record.status is TaskStatus.DELETED:
                done.deleted += 1
            elif record.task_id is None:
                new.append(plan)
                continue
            elif not await self._is_up_to_date(plan, interface) and await self._deleted_stale(
                record, done
            ):
                continue  # it is due again, and the next batch recreates it
            await self.stores.annotation_tasks.settle(record)
        await self.maker.make(project, interface, new, done)

    async def _is_up_to_date(self, plan: Plan, interface: Interface) -> bool:
        assert plan.target is not None
        ends = plan.record.link_until
        fresh = ends is None or ends > self.clock.now() + RENEWED
        return fresh and plan.record.asked == plan.target.digest(interface)

    async def _withdraw(self, record: TaskRecord, done: Pushed) -> None:
        """Delete the task of a frame that no shortlist has any more, unless work has started."""
        if record.task_id is None:
            await self.stores.annotation_tasks.note(
                record.frame_id, status=TaskStatus.WITHDRAWN, trying=False
            )
            return
        task = await self.tool.task(record.task_id)
        if task is not None and not logic.is_untouched(task):
            if logic.status_of(task) is not TaskStatus.ANSWERED:
                await self._mark(task, "withdrawn: nobody asks for this frame any more")
            done.left += 1
            return
        await self.tool.delete_task(record.task_id)
        await self.stores.annotation_tasks.note(
            record.frame_id, task_id=None, asked="", read="", status=TaskStatus.WITHDRAWN
        )
        done.withdrawn += 1

    async def _deleted_stale(self, record: TaskRecord, done: Pushed) -> bool:
        """Delete a task with outdated content; False if somebody works on it."""
        assert record.task_id is not None
        task = await self.tool.task(record.task_id)
        if task is not None and not logic.is_untouched(task):
            await self._renew_link(record, task)
            done.left += 1
            return False
        if task is not None:
            await self.tool.delete_task(record.task_id)
            done.changed += 1
        status = TaskStatus.WAITING if task is not None else TaskStatus.DELETED
        await self.stores.annotation_tasks.note(
            record.frame_id, task_id=None, asked="", read="", status=status
        )
        return True

    async def _renew_link(self, record: TaskRecord, task: Json) -> None:
        if record.link_until is None:
            return
        until = self.clock.now() + LASTING
        link = await self.links.link(record.frame_id, until)
        changed = {
            name: link if text == record.image else text for name, text in task["data"].items()
        }
        await self.tool.change_task(int(task["id"]), changed)
        await self.stores.annotation_tasks.note(record.frame_id, image=link, link_until=until)

    async def _mark(self, task: Json, text: str) -> None:
        if task["data"].get(logic.STATUS) != text:
            await self.tool.change_task(int(task["id"]), {**task["data"], logic.STATUS: text})


def _labels(plans: Sequence[Plan]) -> set[Category]:
    return {
        category
        for plan in plans
        if plan.target is not None
        for category in (
            *(annotation.category for annotation in plan.target.frame.annotations or ()),
            *(proposal.category for proposal in plan.target.frame.proposals),
            *(other.category for other in plan.target.others),
        )
    }
