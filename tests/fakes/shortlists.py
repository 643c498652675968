from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from services.contracts.identity import DetectorId, FrameId, NeedleId
from services.contracts.needles import ShortlistPublished
from services.domain.ports.frames import Pair
from services.domain.ports.shortlists import Membership
from services.runtime.clock import Clock
from tests.fakes.clock import FakeClock


class InMemoryShortlistStore:
    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or FakeClock()
        self._listed_at: dict[tuple[NeedleId, FrameId], datetime] = {}
        self._latest: dict[NeedleId, ShortlistPublished] = {}
        self._moved: dict[NeedleId, dict[FrameId, int]] = defaultdict(dict)

    async def record(self, shortlists: Sequence[ShortlistPublished]) -> None:
        for shortlist in shortlists:
            stored = self._latest.get(shortlist.needle_id)
            if stored is None or shortlist.revision > stored.revision:
                before = stored.chosen_frames() if stored else set()
                self._latest[shortlist.needle_id] = shortlist
                moving = dict.fromkeys(before ^ shortlist.chosen_frames(), shortlist.revision)
                self._moved[shortlist.needle_id].update(moving)
                now = self._clock.now()
                self._listed_at |= {(shortlist.needle_id, frame_id): now for frame_id in moving}

    async def moved(self, shortlists: Sequence[ShortlistPublished]) -> set[Pair]:
        return {
            (frame_id, shortlist.needle.detector)
            for shortlist in shortlists
            for frame_id, revision in self._moved.get(shortlist.needle_id, {}).items()
            if revision == shortlist.revision
        }

    async def memberships(
        self, frame_ids: Collection[FrameId]
    ) -> dict[tuple[FrameId, DetectorId], Membership]:
        versions: dict[tuple[FrameId, DetectorId], int] = defaultdict(int)
        members = set()
        since: dict[tuple[FrameId, DetectorId], datetime] = {}
        for needle_id, latest in self._latest.items():
            detector = latest.needle.detector
            for frame_id in self._moved[needle_id].keys() & set(frame_ids):
                versions[frame_id, detector] += self._moved[needle_id][frame_id]
            for frame_id in latest.chosen_frames():
                pair, listed_at = (frame_id, detector), self._listed_at[needle_id, frame_id]
                members.add(pair)
                since[pair] = min(listed_at, since.get(pair, listed_at))
        return {
            pair: Membership(pair in members, version, since.get(pair))
            for pair, version in versions.items()
        }
