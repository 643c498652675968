"""The frames on the shortlists of one detector, and what budgets they use up."""

from collections import Counter, defaultdict

from services.contracts.identity import DriveId, FrameId, NeedleId, RegionId
from services.domain.shortlists.budgets import BudgetedTask, Spending
from services.domain.shortlists.scored_candidates import CaptureContext, Limits


class AssignedFrames:
    """Which needle has each frame."""

    def __init__(self) -> None:
        self.owners: dict[FrameId, NeedleId] = {}
        self.regions: dict[FrameId, RegionId] = {}
        self.spending = Spending()
        self._listed: defaultdict[NeedleId, dict[FrameId, CaptureContext]] = defaultdict(dict)
        self._drives: Counter[tuple[NeedleId, DriveId]] = Counter()
        self._tasks: dict[FrameId, BudgetedTask] = {}

    def count(self, needle: NeedleId) -> int:
        """The number of frames on a needle's shortlist."""
        return len(self._listed.get(needle, ()))

    def frames(self, needle: NeedleId) -> list[FrameId]:
        """The frames on a needle's shortlist."""
        return list(self._listed.get(needle, ()))

    def fits(self, needle: NeedleId, context: CaptureContext, limits: Limits) -> bool:
        """Whether a needle's shortlist has room for a frame."""
        if self.count(needle) >= limits.size:
            return False
        return context.drive is None or self._drives[needle, context.drive] < limits.per_drive

    def assign(
        self, needle: NeedleId, region: RegionId, context: CaptureContext, task: BudgetedTask
    ) -> None:
        """Put a frame on a needle's shortlist, for one of its regions."""
        self.owners[context.frame] = needle
        self.regions[context.frame] = region
        self._tasks[context.frame] = task
        self.spending.add(task)
        self._listed[needle][context.frame] = context
        if context.drive is not None:
            self._drives[needle, context.drive] += 1

    def release(self, frame: FrameId) -> tuple[NeedleId, CaptureContext]:
        """Take a frame off its shortlist; returns the needle that had it."""
        needle = self.owners.pop(frame)
        del self.regions[frame]
        self.spending.remove(self._tasks.pop(frame))
        context = self._listed[needle].pop(frame)
        if not self._listed[needle]:
            del self._listed[needle]
        if context.drive is not None:
            self._drives[needle, context.drive] -= 1
        return needle, context
