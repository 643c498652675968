from collections import defaultdict
from collections.abc import Collection, Sequence

from services.contracts.events import ShortlistPublished
from services.contracts.identity import DetectorId, FrameId, NeedleId
from services.runtime.stores.shortlists import Membership


class InMemoryShortlistStore:
    def __init__(self) -> None:
        self._latest: dict[NeedleId, ShortlistPublished] = {}
        self._ever: dict[NeedleId, set[FrameId]] = defaultdict(set)

    async def record(self, shortlists: Sequence[ShortlistPublished]) -> None:
        for each in shortlists:
            self._ever[each.needle_id].update(_frames(each))
            stored = self._latest.get(each.needle_id)
            if stored is None or each.revision > stored.revision:
                self._latest[each.needle_id] = each

    async def frames_ever(self, needle_ids: Collection[NeedleId]) -> set[FrameId]:
        return {frame for needle_id in needle_ids for frame in self._ever.get(needle_id, ())}

    async def memberships(
        self, frame_ids: Collection[FrameId]
    ) -> dict[tuple[FrameId, DetectorId], Membership]:
        versions: dict[tuple[FrameId, DetectorId], int] = defaultdict(int)
        members = set()
        for needle_id, latest in self._latest.items():
            detector = latest.needle.detector
            for frame_id in self._ever[needle_id].intersection(frame_ids):
                versions[frame_id, detector] += latest.revision
            members |= {(frame_id, detector) for frame_id in _frames(latest)}
        return {pair: Membership(pair in members, version) for pair, version in versions.items()}


def _frames(shortlist: ShortlistPublished) -> set[FrameId]:
    return {candidate.frame_id for candidate in shortlist.candidates}
