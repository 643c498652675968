"""The frames on the shortlists of one detector, and what budgets they use up."""

from collections import Counter, defaultdict
from collections.abc import MutableMapping

from services.contracts.identity import DriveId, FrameId, NeedleId
from services.domain.shortlists.budgets import Spending
from services.domain.shortlists.scored_candidates import CaptureContext, Limits, ListedFrame


class AssignedFrames:
    """Which needle has each frame.

    Parameters
    ----------
    listed : where the frames are kept, with those that are on shortlists already
    """

    def __init__(self, listed: MutableMapping[FrameId, ListedFrame]) -> None:
        self.listed = listed
        self.spending = Spending()
        self._of_needle: defaultdict[NeedleId, dict[FrameId, None]] = defaultdict(dict)
        self._drives: Counter[tuple[NeedleId, DriveId]] = Counter()
        for item in listed.values():
            self._count(item)

    def count(self, needle: NeedleId) -> int:
        """The number of frames on a needle's shortlist."""
        return len(self._of_needle.get(needle, ()))

    def frames(self, needle: NeedleId) -> list[FrameId]:
        """The frames on a needle's shortlist."""
        return list(self._of_needle.get(needle, ()))

    def fits(self, needle: NeedleId, context: CaptureContext, limits: Limits) -> bool:
        """Whether a needle's shortlist has room for a frame."""
        if self.count(needle) >= limits.size:
            return False
        return context.drive is None or self._drives[needle, context.drive] < limits.per_drive

    def assign(self, listed: ListedFrame) -> None:
        """Put a frame on a needle's shortlist, for one of its regions."""
        self.listed[listed.context.frame] = listed
        self._count(listed)

    def release(self, frame: FrameId) -> ListedFrame:
        """Take a frame off its shortlist; returns what it was there for."""
        listed = self.listed.pop(frame)
        needle, drive = listed.needle, listed.context.drive
        self.spending.remove(listed.task)
        del self._of_needle[needle][frame]
        if not self._of_needle[needle]:
            del self._of_needle[needle]
        if drive is not None:
            self._drives[needle, drive] -= 1
            if not self._drives[needle, drive]:
                del self._drives[needle, drive]
        return listed

    def _count(self, listed: ListedFrame) -> None:
        needle, context = listed.needle, listed.context
        self.spending.add(listed.task)
        self._of_needle[needle][context.frame] = None
        if context.drive is not None:
            self._drives[needle, context.drive] += 1
