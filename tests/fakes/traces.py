from collections.abc import Collection, Iterable

from services.contracts.identity import FrameId
from services.domain.ports.erasure import OutsideCopy


class InMemoryTraces:
    """A place that holds records of frames."""

    def __init__(self, name: str, frame_ids: Iterable[FrameId] = ()) -> None:
        self.name = name
        self.held = list(frame_ids)

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        return sum(frame_id in frame_ids for frame_id in self.held)

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        self.held = [frame_id for frame_id in self.held if frame_id not in frame_ids]


class InMemoryCopies:
    """A system outside that has copies of frames, each under a number of its own."""

    def __init__(self, held: Iterable[FrameId] = ()) -> None:
        self.held = list(held)

    async def of(self, frame_ids: Collection[FrameId]) -> list[OutsideCopy]:
        ids = tuple(str(at) for at, frame_id in enumerate(self.held) if frame_id in frame_ids)
        return [OutsideCopy("tasks elsewhere", ids, "delete them")] if ids else []
