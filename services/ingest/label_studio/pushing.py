"""Shortlists on their way into Label Studio: one task a frame, however often they are sent."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from services.contracts.errors import Invalid, InvalidRecord, ToolUnavailable
from services.contracts.events import FrameAnnotated, ShortlistPublished
from services.contracts.identity import Category, FrameId
from services.ingest.label_studio import logic
from services.ingest.label_studio.client import KEY, Json, LabelStudio
from services.ingest.label_studio.interface import Interface
from services.ingest.label_studio.links import LASTING, RENEWED, ImageLinks
from services.ingest.label_studio.logic import Asked
from services.ingest.label_studio.project import (
    ensure_project,
    fill_in_predictions,
    offer_labels,
)
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.stores.annotation_tasks import TaskRecord, TaskStatus
from services.runtime.stores.frames import FrameRecord
from services.runtime.stores.opening import Stores

log = structlog.get_logger(__name__)

_BATCH = 50
_LEASE = timedelta(seconds=120)
_AWAITED_S = 0.5


@dataclass
class Pushed:
    """What one push did."""

    created: int = 0
    changed: int = 0
    withdrawn: int = 0
    left: int = 0
    """Somebody works on them, or has: they stay as they are."""
    adopted: int = 0
    """They were there already."""
    deleted: int = 0
    """Somebody had deleted them; they are not pushed again."""
    refused: int = 0
    """Label Studio does not take them; the log says why."""

    def add(self, other: "Pushed") -> None:
        """Count another one in."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class _Plan:
    record: TaskRecord
    asked: Asked | None


@dataclass(frozen=True)
class Pusher:
    """Makes Label Studio's tasks what the shortlists ask.

    A task bears a key that follows from its frame, and a push is noted before it is begun: whoever
    finds one begun looks for the key first. One process pushes at a time.
    """

    tool: LabelStudio
    stores: Stores
    settings: Settings
    clock: Clock
    links: ImageLinks
    _holder: str = field(default_factory=lambda: secrets.token_hex(8))

    async def push(self, *, wait_s: float = 0.0) -> Pushed:
        """Settle every frame that is due.

        Parameters
        ----------
        wait_s : how long to wait for another process that pushes

        Raises
        ------
        Transient
            A store or Label Studio is away, or another process pushes all the time.
        InvalidSettings
            Label Studio refuses our token, or the project cannot be used.
        """
        await self._lease(wait_s)
        pushed = Pushed()
        try:
            project, interface = await ensure_project(self.tool, self.settings, self.stores)
            pushed.adopted += await self._adopt_all(project)
            while records := await self.stores.annotation_tasks.due(_BATCH):
                await self._lease(0.0)
                plans = await self._plans(records)
                labels = _labels(plans)
                interface = await offer_labels(self.tool, project, interface, labels)
                pushed.add(await self._settled(project, interface, plans))
            if pushed.created:
                await fill_in_predictions(self.tool, project)
        finally:
            await self.stores.annotation_tasks.release(self._holder)
        if any(vars(pushed).values()):
            log.info("label_studio_pushed", **vars(pushed))
        return pushed

    async def _lease(self, wait_s: float) -> None:
        tasks = self.stores.annotation_tasks
        end = self.clock.monotonic() + wait_s
        while not await tasks.lease(self._holder, self.clock.now(), _LEASE):
            if self.clock.monotonic() >= end:
                raise ToolUnavailable("another process pushes to Label Studio at the moment")
            await asyncio.sleep(_AWAITED_S)

    async def _adopt_all(self, project: int) -> int:
        """Take tasks of ours that the project has and our record has not, once for a project."""
        tasks = self.stores.annotation_tasks
        if (await tasks.state()).project == project:
            return 0
        found = await self.tool.our_tasks(project)
        for each in found:
            data = each["data"]
            await tasks.note(
                FrameId(data["frame_id"]),
                task_id=int(each["id"]),
                asked=data.get(logic.ASKED, ""),
                status=TaskStatus.OPEN,
            )
        await tasks.note_state(project=project, since="")
        return len(found)

    async def _plans(self, records: Sequence[TaskRecord]) -> list[_Plan]:
        ids = [record.frame_id for record in records]
        frames = await self.stores.frames.load(ids)
        shortlists = await self.stores.annotation_tasks.asking(ids)
        plans = []
        for record in records:
            frame = frames.get(record.frame_id)
            asked = await self._asked(frame, shortlists) if frame else None
            plans.append(_Plan(record, asked))
        return plans

    async def _asked(
        self, frame: FrameRecord, shortlists: Sequence[ShortlistPublished]
    ) -> Asked | None:
        truth = await latest_truth(self.stores, frame)
        return logic.asked_of(frame, truth, shortlists, self.settings.operating_score)

    async def _settled(self, project: int, interface: Interface, plans: Sequence[_Plan]) -> Pushed:
        done = Pushed()
        new: list[_Plan] = []
        for plan in plans:
            record = plan.record
            if plan.asked is None:
                await self._withdraw(record, done)
            elif record.status is TaskStatus.DELETED:
                done.deleted += 1
            elif record.task_id is None:
                new.append(plan)
                continue
            elif not await self._is_up_to_date(plan, interface) and await self._taken_back(
                record, done
            ):
                continue  # it waits, and is made anew by the next batch
            await self.stores.annotation_tasks.settle(record)
        await self._create(project, interface, new, done)
        return done

    async def _is_up_to_date(self, plan: _Plan, interface: Interface) -> bool:
        assert plan.asked is not None
        ends = plan.record.link_until
        fresh = ends is None or ends > self.clock.now() + RENEWED
        return fresh and plan.record.asked == plan.asked.digest(interface)

    async def _withdraw(self, record: TaskRecord, done: Pushed) -> None:
        """Nobody asks for the frame any more: what nobody has touched goes away."""
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

    async def _taken_back(self, record: TaskRecord, done: Pushed) -> bool:
        """Delete a task that asks something else by now; False where somebody works on it."""
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

    async def _create(
        self, project: int, interface: Interface, plans: Sequence[_Plan], done: Pushed
    ) -> None:
        tried = [plan.record for plan in plans if plan.record.trying]
        there = await self._there_already(project, tried)
        fresh = []
        for plan in plans:
            if plan.record.frame_id in there:
                await self._note_made(plan, interface, there[plan.record.frame_id])
                done.adopted += 1
            else:
                fresh.append(plan)
        ready = [await self._with_image(project, plan) for plan in fresh]
        plans = [plan for plan in ready if plan is not None]
        try:
            done.created += await self._make(project, interface, plans)
        except InvalidRecord:  # of one task, and Label Studio takes all or none
            for plan in plans:
                done.created += await self._make_alone(project, interface, plan, done)

    async def _make_alone(
        self, project: int, interface: Interface, plan: _Plan, done: Pushed
    ) -> int:
        try:
            return await self._make(project, interface, [plan])
        except InvalidRecord as exc:
            await self._refused(plan.record, exc)
            done.refused += 1
            return 0

    async def _make(self, project: int, interface: Interface, plans: Sequence[_Plan]) -> int:
        if not plans:
            return 0
        tasks = []
        for plan in plans:
            assert plan.asked is not None
            await self.stores.annotation_tasks.note(plan.record.frame_id, trying=True)
            tasks.append(plan.asked.task(interface, plan.record.image))
        ids = await self.tool.create_tasks(project, tasks)
        for plan, task_id in zip(plans, ids, strict=True):
            await self._note_made(plan, interface, task_id)
        return len(ids)

    async def _refused(self, record: TaskRecord, error: Invalid) -> None:
        log.error("label_studio_refuses_task", frame_id=record.frame_id, error=str(error))
        await self.stores.annotation_tasks.note(
            record.frame_id, trying=False, status=TaskStatus.REFUSED
        )
        await self.stores.annotation_tasks.settle(record)

    async def _there_already(
        self, project: int, records: Sequence[TaskRecord]
    ) -> dict[FrameId, int]:
        """The tasks that an interrupted push has made; of two for one frame, the second goes."""
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

    async def _with_image(self, project: int, plan: _Plan) -> _Plan | None:
        """The plan with an image that Label Studio can show; none where the image is lost."""
        record, asked = plan.record, plan.asked
        assert asked is not None
        if self.settings.public_url:
            until = self.clock.now() + LASTING
            link = await self.links.link(record.frame_id, until)
            return _Plan(replace(record, image=link, link_until=until), asked)
        if record.image.startswith("/data/"):
            return plan
        try:
            content = await asyncio.to_thread(self.stores.blobs.get, await self._uri(record))
            image = await self.tool.upload(
                project, asked.frame.file_name, content, asked.frame.media_type
            )
        except Invalid as exc:
            await self._refused(record, exc)
            return None
        await self.stores.annotation_tasks.note(record.frame_id, image=image)
        return _Plan(replace(record, image=image, link_until=None), asked)

    async def _uri(self, record: TaskRecord) -> str:
        frame = (await self.stores.frames.load([record.frame_id]))[record.frame_id]
        assert frame.captured is not None  # else nothing would be asked
        return frame.captured.image.uri

    async def _note_made(self, plan: _Plan, interface: Interface, task_id: int) -> None:
        assert plan.asked is not None
        record = plan.record
        await self.stores.annotation_tasks.note(
            record.frame_id,
            task_id=task_id,
            trying=False,
            status=TaskStatus.OPEN,
            asked=plan.asked.digest(interface),
            image=record.image,
            link_until=record.link_until,
        )
        await self.stores.annotation_tasks.settle(record)


def _labels(plans: Sequence[_Plan]) -> set[Category]:
    return {
        category
        for plan in plans
        if plan.asked is not None
        for category in (
            *(each.category for each in plan.asked.frame.annotations or ()),
            *(each.category for each in plan.asked.frame.proposals),
            *(each.category for each in plan.asked.others),
        )
    }


async def latest_truth(stores: Stores, frame: FrameRecord) -> FrameAnnotated | None:
    """A frame's latest ground truth, a correction of the review page included that is on its way.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    known = [each.event for each in await stores.corrections.published(frame.frame_id)]
    known += [frame.ground_truth] if frame.ground_truth else []
    return max(known, key=lambda event: event.revision, default=None)
