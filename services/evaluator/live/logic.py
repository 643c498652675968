"""The evaluator's figures of a detector on a set of frames."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, islice
from typing import Final, NamedTuple

from services.contracts.identity import Category, DetectorId
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import Figures, twelve
from services.domain.metrics.drift import Drift
from services.domain.metrics.kept_figures import Window
from services.domain.metrics.match_snapshot import MatchSnapshot
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.operating_point import OperatingPoint, joint_operating_point
from services.domain.metrics.subsets import Subset
from services.domain.statistics.resampling import Interval

WINDOWS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}
"""Window lengths, back from the last frame captured; figures over all time are separate."""
MAX_PAIRS: Final = 10


@dataclass(frozen=True)
class Evaluation:
    """The figures of one detector on one subset, over all time."""

    numbers: Mapping[str, float | None]
    """COCO's twelve numbers by name; None where no ground truth defines them."""
    categories: Mapping[Category, float | None]
    """AP of each category; None where it is undefined."""
    operating: OperatingPoint
    frames: int
    detections: int
    ground_truths: int

    @property
    def defined(self) -> int:
        """The number of categories with an AP; the twelve numbers are means over them."""
        return _defined(self.categories.values())


def evaluate(
    state: MatchState,
    detector: DetectorId,
    subset: Subset,
    operating: OperatingScores,
) -> Evaluation:
    """Compute all figures of a detector on a subset."""
    parts = state.of(detector, subset)
    points = [part.operating for part in parts.values()]
    return Evaluation(
        numbers=twelve(parts.values()),
        categories={category: part.average_precision for category, part in parts.items()},
        operating=joint_operating_point(points, operating.default),
        frames=state.frame_count(detector, subset),
        detections=sum(part.detections for part in parts.values()),
        ground_truths=sum(part.ground_truths for part in parts.values()),
    )


def order_holds(ap: Mapping[Subset, float | None]) -> bool | None:
    """Whether H-S > H > S, the expected order if shortlists find the detector's errors.

    None where one of the three has no AP, for example if nothing is shortlisted.
    """
    rest, haystack, shortlisted = ap[Subset.REST], ap[Subset.H], ap[Subset.S]
    if rest is None or haystack is None or shortlisted is None:
        return None
    return rest > haystack > shortlisted


class RecentMap(NamedTuple):
    """MAP on the frames of a window, and the number of categories whose mean it is."""

    ap: float | None
    categories: int


def recent_maps(
    state: MatchState, detector: DetectorId, now: datetime
) -> dict[tuple[Subset, str], RecentMap]:
    """MAP by subset and window, in event time: windows end at the last capture time.

    Parameters
    ----------
    now : windows end here at the latest, because a vehicle's clock may be ahead
    """
    until = min(state.latest or now, now)
    return {
        (subset, name): _recent_map(state.of(detector, subset, Window(length, until)).values())
        for subset in Subset
        for name, length in WINDOWS.items()
    }


def _recent_map(parts: Collection[Figures]) -> RecentMap:
    return RecentMap(twelve(parts)["AP"], _defined(part.average_precision for part in parts))


def _defined(aps: Iterable[float | None]) -> int:
    return sum(ap is not None for ap in aps)


@dataclass(frozen=True)
class Confidence:
    """Figures that take seconds to compute: intervals, differences and drift."""

    intervals: Mapping[tuple[DetectorId, Subset], Interval]
    differences: Mapping[tuple[DetectorId, DetectorId], Interval]
    """The first detector's mAP minus the second's, on the same frames."""
    drifts: Mapping[DetectorId, Sequence[Drift]]


def confidence(matches: MatchSnapshot) -> Confidence:
    """Intervals, differences of detectors and drift of vehicles, over all time."""
    detectors = matches.detectors()
    intervals = {(d, s): matches.interval(d, s) for d in detectors for s in Subset}
    pairs = islice(combinations(detectors, 2), MAX_PAIRS)
    differences = {(new, old): matches.difference(new, old, Subset.ALL) for old, new in pairs}
    return Confidence(
        intervals={key: interval for key, interval in intervals.items() if interval is not None},
        differences={
            key: interval for key, interval in differences.items() if interval is not None
        },
        drifts={detector: matches.drift(detector) for detector in detectors},
    )
