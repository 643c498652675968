"""Tasks about erased frames in the annotation team's tool."""

from collections.abc import Collection

from services.annotation.label_studio.client import opened
from services.annotation.ports.annotation_tasks import AnnotationTasks
from services.contracts.identity import FrameId
from services.runtime.settings import Settings


class ToolTaskTraces:
    """The tasks in Label Studio, which show the frame's image, if the settings name it."""

    name = "tasks in Label Studio"

    def __init__(self, tasks: AnnotationTasks, settings: Settings) -> None:
        self._tasks = tasks
        self._settings = settings

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        return len(await self._numbers(frame_ids))

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        numbers = await self._numbers(frame_ids) if self._settings.label_studio_url else []
        if not numbers:
            return
        async with opened(self._settings) as tool:
            for number in numbers:
                await tool.delete_task(number)

    async def _numbers(self, frame_ids: Collection[FrameId]) -> list[int]:
        records = (await self._tasks.of_frames(frame_ids)).values()
        return sorted(record.task_id for record in records if record.task_id is not None)
