"""What the evaluator says of a detector on a set of frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Final

from services.contracts.identity import Category, DetectorId
from services.domain.metrics.average_precision import Operating, operating_point, twelve
from services.domain.metrics.drift import Drift
from services.domain.metrics.kept_figures import EVER, Window
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Interval

WINDOWS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}
"""Lengths of time, back from the last frame captured; beside them, everything."""
MOST_PAIRS: Final = 10


@dataclass(frozen=True)
class Evaluation:
    """One detector on one subset's frames within a window."""

    numbers: Mapping[str, float | None]
    """COCO's twelve, by name; none where no ground truth defines them."""
    categories: Mapping[Category, float | None]
    """AP of each category."""
    operating: Operating
    frames: int
    detections: int
    ground_truths: int


def evaluate(
    state: MatchState,
    detector: DetectorId,
    subset: Subset,
    operating_score: float,
    window: Window = EVER,
) -> Evaluation:
    """Everything that is said of a detector on a subset's frames within a window."""
    parts = state.of(detector, subset, window)
    return Evaluation(
        numbers=twelve(parts.values()),
        categories={category: part.average_precision for category, part in parts.items()},
        operating=operating_point([part.operating for part in parts.values()], operating_score),
        frames=state.frame_count(detector, subset, window),
        detections=sum(part.detections for part in parts.values()),
        ground_truths=sum(part.ground_truths for part in parts.values()),
    )


def order_holds(ap: Mapping[Subset, float | None]) -> bool | None:
    """Whether H-S > H > S, as it is where shortlists find what the detector gets wrong.

    None where one of the three has no AP, or nothing is shortlisted.
    """
    rest, haystack, shortlisted = ap[Subset.REST], ap[Subset.H], ap[Subset.S]
    if rest is None or haystack is None or shortlisted is None:
        return None
    return rest > haystack > shortlisted


def recent_maps(
    state: MatchState, detector: DetectorId, now: datetime
) -> dict[tuple[Subset, str], float | None]:
    """MAP by subset and window. Windows end with the last frame captured, in event time.

    Parameters
    ----------
    now : no window ends later, whatever a vehicle's clock says
    """
    until = min(state.latest or now, now)
    return {
        (subset, name): twelve(state.of(detector, subset, Window(length, until)).values())["AP"]
        for subset in Subset
        for name, length in WINDOWS.items()
    }


@dataclass(frozen=True)
class Confidence:
    """What takes a while to reckon: how sure the figures are, and where they come from."""

    intervals: Mapping[tuple[DetectorId, Subset], Interval]
    differences: Mapping[tuple[DetectorId, DetectorId], Interval]
    """By how much the first detector's mAP is above the second's, on the same frames."""
    drifts: Mapping[DetectorId, Sequence[Drift]]


def confidence(state: MatchState) -> Confidence:
    """Intervals, differences of detectors and drift of vehicles, over all time."""
    detectors = state.detectors()
    intervals = {(d, s): state.interval(d, s) for d in detectors for s in Subset}
    pairs = list(combinations(detectors, 2))[:MOST_PAIRS]
    differences = {(new, old): state.difference(new, old, Subset.ALL) for old, new in pairs}
    return Confidence(
        intervals={key: interval for key, interval in intervals.items() if interval is not None},
        differences={
            key: interval for key, interval in differences.items() if interval is not None
        },
        drifts={detector: state.drift(detector) for detector in detectors},
    )
