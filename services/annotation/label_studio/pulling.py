"""Pull annotators' submissions from Label Studio, and publish them as ground truth."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import structlog

from services.annotation.label_studio import logic
from services.annotation.label_studio.client import LabelStudio
from services.annotation.label_studio.tasks import KEY, Json
from services.annotation.ports.annotation_tasks import TaskRecord, TaskStatus
from services.annotation.stores.opening import AnnotationStores
from services.contracts.errors import InvalidRecord
from services.contracts.events import FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.ports.held_corrections import Question
from services.formats.adjustments import Adjustment
from services.formats.completeness import cannot_be_object
from services.formats.corrections import corrections_of, open_correction
from services.formats.frames import OpenedFrame
from services.formats.items import Located, Rejection
from services.formats.readers.label_studio import versions_of_task
from services.formats.rejections import dead_letter
from services.ground_truth.answers import answered, labels_of
from services.ground_truth.holding import CorrectionGate, question_of
from services.ground_truth.publishing import RevisionPublisher
from services.runtime.clock import Clock
from services.runtime.images import ImageLimits
from services.runtime.observability import metrics
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

WAY = "label-studio"
_OVERLAP = timedelta(seconds=30)
"""Overlap of successive pulls, because changes committed late have an earlier time."""


@dataclass
class Pulled:
    """Counts of one pull, without unchanged tasks."""

    published: int = 0
    held: Counter[str] = field(default_factory=Counter)
    """Held corrections, by their question."""
    refused: Counter[str] = field(default_factory=Counter)
    """By reason; each becomes a dead letter and is marked in its task."""
    first_refusal: str = ""
    """The error of the first refusal."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Refused boxes that cannot be objects, by reason: dead letters; their frames are published."""
    adjusted: Counter[Adjustment] = field(default_factory=Counter)
    """Repairs in accepted submissions."""
    unfinished: int = 0
    skipped: int = 0
    deleted: int = 0
    unanswered: int = 0
    """Submissions that were deleted later; their ground truth stays."""


@dataclass(frozen=True)
class _Task:
    """A Gazeloop task, with its frame's record."""

    document: Json
    record: TaskRecord
    where: str

    @property
    def base_revision(self) -> int:
        """The revision of the ground truth that the task's annotators started from or produced."""
        revision = self.document["data"].get("ground_truth_revision")
        return max(revision if type(revision) is int else 0, self.record.revision or 0)


@dataclass(frozen=True)
class Puller:
    """Reads changes since the last pull, and publishes them as the next revision."""

    tool: LabelStudio
    stores: AnnotationStores
    settings: Settings
    clock: Clock
    publisher: RevisionPublisher
    gate: CorrectionGate

    async def pull(self) -> Pulled:
        """Read all changes. After an interruption, the next call continues.

        Raises
        ------
        Transient
            A store, the broker or Label Studio is unreachable.
        InvalidSettings
            Label Studio refuses the token.
        """
        pulled = Pulled()
        projects = await self.tool.projects(self.settings.label_studio_project)
        if not projects:
            return pulled
        project = int(projects[0]["id"])
        state = await self.stores.annotation_tasks.state()
        latest = state.since if state.project == project else ""
        async for listed in self.tool.changed_since(project, _earlier(latest)):
            if listed["data"].get(KEY):
                await self._read(listed, pulled)
            latest = max(latest, str(listed["updated_at"]))
        await self._notice_deleted(project, pulled)
        facts: dict[str, object] = {"listened": state.webhooks}
        if state.project == project:
            # Not before: the latest change comes first, so after an interruption earlier ones lack.
            facts["since"] = latest
        await self.stores.annotation_tasks.note_state(**facts)
        await self._measure()
        return pulled

    async def _read(self, listed: Json, pulled: Pulled) -> None:
        frame_id = FrameId(str(listed["data"].get("frame_id")))
        if await self.stores.tombstones.erased([frame_id]):
            return  # erased while Label Studio could not be asked to delete the task
        records = await self.stores.annotation_tasks.of_frames([frame_id])
        record = records.get(frame_id, TaskRecord(frame_id))
        if record.task_id not in (None, listed["id"]):
            return  # of two tasks for one frame, the first counts
        document = await self.tool.task(int(listed["id"]))
        if document is None or logic.read_of(document) == record.read:
            return
        project, task_id = document["project"], document["id"]
        where = f"{self.tool.url}/projects/{project}/data?task={task_id}"
        status, facts = await self._judged(_Task(document, record, where), pulled)
        await self.stores.annotation_tasks.note(
            frame_id, task_id=task_id, read=logic.read_of(document), status=status, **facts
        )

    async def _judged(self, task: _Task, pulled: Pulled) -> tuple[TaskStatus, dict[str, int]]:
        status = logic.status_of(task.document)
        if status is TaskStatus.ANSWERED:
            return await self._answer(task, pulled)
        if status is TaskStatus.SKIPPED:
            pulled.skipped += 1
        elif task.record.status is TaskStatus.ANSWERED:
            pulled.unanswered += 1
        elif status is TaskStatus.STARTED:
            pulled.unfinished += 1
        return status, {}

    async def _answer(self, task: _Task, pulled: Pulled) -> tuple[TaskStatus, dict[str, int]]:
        try:
            versions = await self._versions(task, pulled)
        except InvalidRecord as exc:
            await self._refuse(task, exc, pulled)
            return TaskStatus.REFUSED, {}
        unknown, answers = await self.gate.understood(labels_of(versions))
        question, tag = question_of(versions, unknown), logic.read_of(task.document)
        if question is None:
            draft = answered(versions[0], answers)
            accepted = await self.publisher.publish_next(draft, task.base_revision, tag)
            if accepted is not None:
                await self.stores.held.supersede_from(draft.frame_id, task.where)
                pulled.published += 1
                return TaskStatus.ANSWERED, {"revision": accepted.revision}
            question = Question.OVERTAKEN
        held = self.gate.question(question, versions, unknown, task.base_revision, task.where, tag)
        await self.stores.held.hold([held])
        pulled.held[question.value] += 1
        return TaskStatus.ANSWERED, {}

    async def _versions(self, task: _Task, pulled: Pulled) -> list[FrameAnnotated]:
        """The submissions, fitted to the stored image; one version if all agree."""
        submitted = versions_of_task(Located[object](task.document, task.where))
        rejected = [rejection for item in submitted for rejection in item.rejected]
        unfit = [item for one in submitted if not one.item.complete for item in one.rejected]
        # The task names what must be corrected, not that something must.
        unfit.sort(key=lambda item: cannot_be_object(item.reason))
        items = await corrections_of([item.item for item in submitted], self.stores.frames)
        opened = [open_correction(item, ImageLimits.of(self.settings)) for item in items]
        unfit += [item for item in opened if isinstance(item, Rejection)]
        if unfit:
            raise InvalidRecord(unfit[0].detail, reason=unfit[0].reason)
        frames = [opened_frame for opened_frame in opened if isinstance(opened_frame, OpenedFrame)]
        versions = [version for frame in frames for version in frame.versions]
        if not versions:
            raise InvalidRecord("more than a record may hold", reason="event_too_large")
        await self._leave_out([*rejected, *(r for f in frames for r in f.rejections)], pulled)
        for frame in frames:
            pulled.adjusted.update(frame.item.adjustments)
        return versions

    async def _leave_out(self, rejected: Sequence[Rejection], pulled: Pulled) -> None:
        """Dead-letter boxes that cannot be objects; the rest of their frame is published."""
        for rejection in rejected:
            await self._keep(rejection)
            pulled.left_out[rejection.reason] += 1

    async def _refuse(self, task: _Task, error: InvalidRecord, pulled: Pulled) -> None:
        """Dead-letter an unusable submission, and mark its task for the annotators."""
        fields = {name: task.document[name] for name in ("id", "data", "annotations")}
        raw = orjson.dumps(fields, default=str)
        await self._keep(Rejection(error.reason, str(error), task.where, raw))
        pulled.refused[error.reason] += 1
        pulled.first_refusal = pulled.first_refusal or str(error)
        data = {**task.document["data"], logic.STATUS: f"refused: {error}"}
        await self.tool.change_task(int(task.document["id"]), data)

    async def _keep(self, rejection: Rejection) -> None:
        await self.publisher.publish([], [dead_letter(rejection, self.clock.now())])
        metrics.RECORDS_REJECTED.labels(rejection.reason, WAY).inc()

    async def _notice_deleted(self, project: int, pulled: Pulled) -> None:
        tasks = self.stores.annotation_tasks
        known = await tasks.in_tool()
        if await self.tool.how_many(project) >= len(known):
            return
        task_ids = {int(our_task["id"]) for our_task in await self.tool.our_tasks(project)}
        for task_id, frame_id in known.items():
            if task_id not in task_ids:
                await tasks.note(frame_id, task_id=None, read="", status=TaskStatus.DELETED)
                pulled.deleted += 1

    async def _measure(self) -> None:
        for status, count in (await self.stores.annotation_tasks.counts()).items():
            metrics.LABEL_STUDIO_TASKS.labels(status.value).set(count)


def _earlier(time: str) -> str:
    if not time:
        return ""
    earlier = datetime.fromisoformat(time).astimezone(UTC) - _OVERLAP
    return f"{earlier:%Y-%m-%dT%H:%M:%S.%f}Z"  # the only form that its filters accept
