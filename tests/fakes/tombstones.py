from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from services.contracts.identity import FrameHash, FrameId, frame_hash
from services.domain.ports.erasure import ErasureRequest, Tombstone


@dataclass
class _Held:
    request: ErasureRequest
    frame_id: FrameId | None
    waiting: set[str]
    swept: bool = False


class InMemoryTombstones:
    def __init__(self) -> None:
        self.held: dict[FrameHash, _Held] = {}

    async def add(self, frame_ids: Collection[FrameId], request: ErasureRequest) -> None:
        for frame_id in frame_ids:
            before = self.held.get(frame_hash(frame_id))
            first = before.request if before else request
            self.held[frame_hash(frame_id)] = _Held(first, frame_id, set(request.services))

    async def erased(self, frame_ids: Collection[FrameId]) -> set[FrameId]:
        return {frame_id for frame_id in frame_ids if frame_hash(frame_id) in self.held}

    async def requesters(self) -> Mapping[FrameHash, tuple[str, str]]:
        return {
            one: (held.request.requested_by, held.request.reason) for one, held in self.held.items()
        }

    async def unswept(self, limit: int, before: datetime | None = None) -> Sequence[Tombstone]:
        return [
            Tombstone(held.frame_id, held.request.reason, held.request.requested_by)
            for _, held in sorted(self.held.items())
            if not held.swept and held.frame_id is not None
            if before is None or held.request.requested_at < before
        ][:limit]

    async def await_services(self, frame_ids: Collection[FrameId], services: Sequence[str]) -> None:
        for frame_id in frame_ids:
            self.held[frame_hash(frame_id)].waiting.update(services)

    async def note_swept(self, frame_ids: Collection[FrameId]) -> None:
        for frame_id in frame_ids:
            self.held[frame_hash(frame_id)].swept = True
        self._let_go()

    async def unconfirmed(self, hashes: AbstractSet[FrameHash]) -> Mapping[FrameHash, FrameId]:
        found = {one: self.held[one].frame_id for one in hashes if one in self.held}
        return {one: frame_id for one, frame_id in found.items() if frame_id is not None}

    async def confirm(self, hashes: AbstractSet[FrameHash], service: str) -> None:
        for one in hashes & self.held.keys():
            self.held[one].waiting.discard(service)
        self._let_go()

    async def awaited(self) -> Mapping[str, int]:
        return Counter(service for held in self.held.values() for service in held.waiting)

    def _let_go(self) -> None:
        for held in self.held.values():
            if held.swept and not held.waiting:
                held.frame_id = None
