"""Candidates of shortlists, with where and when they were captured and what they are worth."""

from dataclasses import dataclass

from services.contracts.events import Sampling
from services.contracts.identity import DriveId, FamilyId, FrameId, NeedleId, RegionId, VehicleId
from services.domain.shortlists.budgets import Budget, BudgetedTask, Budgets, day_of

WORTH_DECIMALS = 12
"""Worths that are equal to this many decimals tie; smaller differences are float noise."""

Key = tuple[str, ...]
"""Identifies a failure mode; of equal worths, the mode with the lower key comes first."""


@dataclass(frozen=True)
class CaptureContext:
    """Where and when a frame was captured."""

    frame: FrameId
    drive: DriveId | None
    second: float
    position: tuple[float, float] | None
    """Latitude and longitude in degrees."""
    vehicle: VehicleId


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """A haystack region that may go on a shortlist of a failure mode.

    Attributes
    ----------
    worth : the value of listing the region's frame, more than 0, before its family's yield
    evidence : in [0, 1], how likely the region fails in the mode
    family : the family of the mode whose exemplar the region resembles most
    """

    region: RegionId
    context: CaptureContext
    worth: float
    evidence: float
    family: FamilyId

    @property
    def task(self) -> BudgetedTask:
        """The task that listing it creates."""
        return task_of(self.context, self.family)


def task_of(context: CaptureContext, family: FamilyId) -> BudgetedTask:
    """The task of a frame that is listed for a family."""
    return BudgetedTask(day_of(context.second), context.vehicle, family)


@dataclass(frozen=True)
class ListedFrame:
    """A frame on a needle's shortlist, from an earlier epoch.

    Attributes
    ----------
    family : the family that its task counts for
    corrected : its ground truth came back from re-annotation. It stays, counts toward the budgets,
        and not toward its mode's turns
    """

    needle: NeedleId
    region: RegionId
    context: CaptureContext
    family: FamilyId
    corrected: bool = False

    @property
    def task(self) -> BudgetedTask:
        """The task that listing it created."""
        return task_of(self.context, self.family)


@dataclass(frozen=True)
class HeldBack:
    """A candidate that is not listed because a budget is spent."""

    key: Key
    candidate: ScoredCandidate
    budget: Budget


@dataclass(frozen=True)
class Assignment:
    """A candidate on a needle's shortlist; `sampling` describes how it was drawn, if it was."""

    needle: NeedleId
    candidate: ScoredCandidate
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Limits:
    """How many frames shortlists hold, and how far apart they are.

    Attributes
    ----------
    budgets : tasks over all shortlists
    size : frames per needle
    per_drive : frames of one drive per needle; frames without a drive are not capped
    apart_s, apart_m : two frames of one drive that are closer than either show the same scene, and
        a mode gets only one of them
    """

    budgets: Budgets
    size: int
    per_drive: int
    apart_s: float
    apart_m: float
