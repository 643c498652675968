"""What shortlists are dealt from: regions with where they were seen and what they are worth."""

import math
from dataclasses import dataclass

from services.contracts.identity import DriveId, FamilyId, FrameId, NeedleId, RegionId, VehicleId
from services.domain.mining.ranking import Vectors
from services.domain.shortlists.budgets import Budget, BudgetedTask, Budgets, day_of

_EARTH_M = 6_371_000.0

Key = tuple[str, ...]
"""What names a mode; the order of keys decides between equal worths."""


@dataclass(frozen=True)
class CaptureContext:
    """Where and when a region was seen."""

    frame: FrameId
    drive: DriveId | None
    second: float
    position: tuple[float, float] | None
    """Latitude and longitude in degrees."""
    vehicle: VehicleId


@dataclass(frozen=True)
class ScoredCandidate:
    """A haystack region that a mode may be shown.

    Attributes
    ----------
    vector : (D,) float32, unit length
    worth : what the plan gains by the region's frame, more than 0
    evidence : how much speaks for the region failing in the mode
    family : of the mode's needles, those that the region resembles
    """

    region: RegionId
    spot: CaptureContext
    vector: Vectors
    worth: float
    evidence: float
    family: FamilyId

    @property
    def task(self) -> BudgetedTask:
        """What it would be counted by."""
        return task_of(self.spot, self.family)


def task_of(spot: CaptureContext, family: FamilyId) -> BudgetedTask:
    """What a frame that is listed for a family is counted by."""
    return BudgetedTask(day_of(spot.second), spot.vehicle, family)


@dataclass(frozen=True)
class HeldBack:
    """A region that a mode would be shown, and the budget that is spent."""

    key: Key
    offer: ScoredCandidate
    budget: Budget


@dataclass(frozen=True)
class Assignment:
    """A region on a needle's shortlist, and how much the two are alike."""

    needle: NeedleId
    offer: ScoredCandidate
    similarity: float


@dataclass(frozen=True)
class Limits:
    """How much is shown, and how far apart.

    Attributes
    ----------
    budgets : frames in all
    size : frames per needle
    per_drive : frames of one drive per needle; frames without a drive are not capped
    apart_s, apart_m : two frames of one drive that are closer than either show the same; a mode
        gets one of them
    """

    budgets: Budgets
    size: int
    per_drive: int
    apart_s: float
    apart_m: float


def near(one: CaptureContext, other: CaptureContext, limits: Limits) -> bool:
    """Whether two frames show the same place at the same time."""
    if one.drive is None or one.drive != other.drive:
        return False
    if abs(one.second - other.second) < limits.apart_s:
        return True
    if one.position is None or other.position is None:
        return False
    return _metres(one.position, other.position) < limits.apart_m


def _metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """On a plane that touches the earth there: exact enough for what is near."""
    north = math.radians(one[0] - other[0])
    east = math.radians(one[1] - other[1]) * math.cos(math.radians(one[0]))
    return _EARTH_M * math.hypot(north, east)
