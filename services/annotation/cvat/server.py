"""A CVAT server, through its own SDK: create tasks, read finished jobs. All calls block."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self, TypedDict

import urllib3
from cvat_sdk import Client, Config, models
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.client import AccessTokenCredentials
from cvat_sdk.core.exceptions import BackgroundRequestException, CvatSdkException
from cvat_sdk.core.proxies.jobs import Job
from cvat_sdk.core.proxies.tasks import Task

from services.annotation.cvat.plans import PREFIX, TaskPlan
from services.contracts.errors import InvalidRecord, InvalidSettings, ToolUnavailable
from services.contracts.events import Rle
from services.contracts.identity import Box
from services.formats.cvat_masks import CvatMask
from services.formats.writers.cvat import ATTRIBUTES
from services.formats.writers.frames import ExportFrame, labels, mask_on

_FILLING = " (being filled)"
_POLL_S = 1.0
_TURNED_AWAY = (401, 403)
_BUSY = 429
_BROKEN = 500


class Shape(TypedDict):
    """A drawn shape, with the names of its label and attributes."""

    label: str
    type: str
    points: list[float]
    rotation: float
    attributes: dict[str, str]


class Geometry(NamedTuple):
    """The type of a shape, and its points as CVAT has them for this type."""

    type: str
    points: list[float]


class JobFrame(TypedDict):
    """One frame of a finished job, with the image size on the server."""

    job: int
    name: str
    size: tuple[int, int]
    annotator: str | None
    shapes: list[Shape]


class CvatServer:
    """The operations on a server that Gazeloop needs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._url = client.api_map.host

    @classmethod
    @contextmanager
    def connected(cls, url: str, token: str) -> Iterator[Self]:
        """Connect to the server at this URL.

        Raises
        ------
        InvalidSettings
            It refuses the token.
        ToolUnavailable
            It does not answer.
        """
        client = Client(url, config=Config(status_check_period=_POLL_S), check_server_version=False)
        with client, _translated(url):
            client.login(AccessTokenCredentials(token))
            client.users.retrieve_current_user()
            yield cls(client)

    def tasks(self) -> dict[str, Task]:
        """Gazeloop's complete tasks by name; deletes those that a crash left incomplete."""
        found = {}
        for task in self._client.tasks.list(search=PREFIX.strip()):
            if task.name.startswith(PREFIX) and task.name.endswith(_FILLING):
                task.remove()
            elif task.name.startswith(PREFIX):
                found[task.name] = task
        return found

    def images_by_task(self) -> dict[int, set[str]]:
        """The file names of the images of each of Gazeloop's tasks, of incomplete ones too."""
        tasks = self._client.tasks.list(search=PREFIX.strip())
        return {task.id: self.images(task) for task in tasks if task.name.startswith(PREFIX)}

    def images(self, task: Task) -> set[str]:
        """The file names of a task's images."""
        return {Path(frame.name).name for frame in task.get_frames_info()}

    def create(self, plan: TaskPlan, content: Callable[[ExportFrame], bytes]) -> None:
        """Create a task with its images, ground truth and proposals.

        The task gets its final name last, which identifies incomplete tasks after a crash.
        """
        names = labels(plan.frames)
        spec = models.TaskWriteRequest(
            name=f"{plan.name}{_FILLING}", labels=[_label(name) for name in names]
        )
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / frame.file_name for frame in plan.frames]
            for file, frame in zip(files, plan.frames, strict=True):
                file.write_bytes(content(frame))
            task = self._client.tasks.create_from_data(spec, files)
        task.set_annotations(models.LabeledDataRequest(shapes=_shapes(task, plan.frames)))
        task.update(models.PatchedTaskWriteRequest(name=plan.name))

    def jobs(self, task: Task) -> list[Job]:
        """A task's annotation jobs."""
        return [job for job in task.get_jobs() if str(job.type) == "annotation"]

    def frames(self, job: Job) -> list[JobFrame]:
        """The shapes on each frame of a job, without deleted frames."""
        meta = job.get_meta()
        names = {label.id: label.name for label in job.get_labels()}
        specs = {
            attribute.id: attribute.name
            for label in job.get_labels()
            for attribute in label.attributes
        }
        drawn: dict[int, list[Shape]] = {}
        data = job.get_annotations()
        for shape in getattr(data, "shapes", None) or []:
            drawn.setdefault(shape.frame, []).append(_drawn(shape, names, specs))
        for track in getattr(data, "tracks", None) or []:
            for number in _visible(track, job.stop_frame):
                drawn.setdefault(number, []).append(_track(track, names))
        assignee = getattr(job, "assignee", None)
        annotator = assignee.username if assignee else None
        return [
            JobFrame(
                job=job.id,
                name=frame.name,
                size=(frame.width, frame.height),
                annotator=annotator,
                shapes=drawn.get(number, []),
            )
            for number, frame in enumerate(meta.frames or [], job.start_frame)
            if number not in meta.deleted_frames
        ]


def is_finished(job: Job) -> bool:
    """Whether its annotator has marked the job as completed."""
    return str(job.state) == "completed"


def _label(name: str) -> models.PatchedLabelRequest:
    label: models.PatchedLabelRequest = models.PatchedLabelRequest(
        name=name,
        attributes=[
            models.AttributeRequest(
                name=attribute,
                mutable=False,
                input_type=models.InputTypeEnum(kind),
                default_value=default,
                values=[default],
            )
            for attribute, kind, default in ATTRIBUTES
        ],
    )
    return label


def _shapes(task: Task, frames: Sequence[ExportFrame]) -> list[models.LabeledShapeRequest]:
    by_label = {label.name: label for label in task.get_labels()}
    numbers = {Path(meta.name).name: at for at, meta in enumerate(task.get_frames_info())}

    def shape(
        frame: ExportFrame, category: str, geometry: Geometry, source: str, values: dict[str, str]
    ) -> models.LabeledShapeRequest:
        label = by_label[category]
        drawn: models.LabeledShapeRequest = models.LabeledShapeRequest(
            type=models.ShapeType(geometry.type),
            label_id=label.id,
            frame=numbers[frame.file_name],
            points=geometry.points,
            source=source,
            attributes=[
                models.AttributeValRequest(
                    spec_id=attribute.id,
                    value=values.get(attribute.name, attribute.default_value),
                )
                for attribute in label.attributes
            ],
        )
        return drawn

    shapes = []
    for frame in frames:
        for truth in frame.annotations or ():
            flags = {"crowd": truth.crowd, "ignore": truth.ignore}
            attributes = {name: "true" for name, value in flags.items() if value}
            mask = mask_on(frame, truth)
            geometry = _rectangle(truth.bbox) if mask is None else _mask(mask)
            shapes.append(shape(frame, truth.category, geometry, "manual", attributes))
        for proposal in frame.proposals:
            attributes = {"proposal": "true", "score": repr(proposal.score)}
            attributes["needle_id"] = proposal.needle_id or ""
            geometry = _rectangle(proposal.bbox)
            shapes.append(shape(frame, proposal.category, geometry, "auto", attributes))
    return shapes


def _rectangle(bbox: Box) -> Geometry:
    x, y, width, height = bbox
    return Geometry("rectangle", [x, y, x + width, y + height])


def _mask(mask: Rle) -> Geometry:
    return Geometry("mask", CvatMask.of(mask).points)


def _drawn(shape: models.ILabeledShape, names: dict[int, str], specs: dict[int, str]) -> Shape:
    return Shape(
        label=names.get(shape.label_id, ""),
        type=str(shape.type),
        # The SDK's models lack the attribute of an optional field that the server leaves out.
        points=list(getattr(shape, "points", None) or []),
        rotation=getattr(shape, "rotation", None) or 0.0,
        attributes={
            specs.get(item.spec_id, ""): item.value
            for item in getattr(shape, "attributes", None) or []
        },
    )


def _track(track: models.ILabeledTrack, names: dict[int, str]) -> Shape:
    name = names.get(track.label_id, "")
    return Shape(label=name, type="track", points=[], rotation=0.0, attributes={})


def _visible(track: models.ILabeledTrack, stop: int) -> set[int]:
    """The frames until `stop`, a job's last, on which the object of a track is visible.

    CVAT shows it from each keyframe on, until the next that is outside. A skeleton's points have
    keyframes of their own.
    """
    visible: set[int] = set()
    for part in (track, *(getattr(track, "elements", None) or ())):
        keyframes = sorted(part.shapes, key=lambda shape: shape.frame)
        ends = [*(shape.frame for shape in keyframes[1:]), stop + 1]
        for shape, end in zip(keyframes, ends, strict=False):
            if not getattr(shape, "outside", False):
                visible.update(range(shape.frame, end))
    return visible


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Translate the SDK's errors to Gazeloop's."""
    try:
        yield
    except exceptions.ApiException as exc:
        if exc.status in _TURNED_AWAY:
            raise InvalidSettings(
                f"CVAT at {url} refuses GAZELOOP_CVAT_TOKEN ({exc.status})"
            ) from exc
        if not exc.status or exc.status >= _BROKEN or exc.status == _BUSY:
            raise ToolUnavailable(f"CVAT at {url} answers {exc.status} {exc.reason}") from exc
        attributes = str(exc.body)[:300]
        raise InvalidRecord(
            f"CVAT at {url} refuses: {exc.status}: {attributes}", reason="refused_by_tool"
        ) from exc
    except BackgroundRequestException as exc:
        raise InvalidRecord(f"CVAT at {url} refuses: {exc}", reason="refused_by_tool") from exc
    except (urllib3.exceptions.HTTPError, CvatSdkException) as exc:
        cause = getattr(exc, "reason", None) or exc  # why the last retry failed
        detail = f"CVAT at {url} does not answer: {type(cause).__name__}"
        raise ToolUnavailable(detail) from exc
