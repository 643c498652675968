"""What the evaluator says of a detector on a set of frames."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.contracts.identity import Category, DetectorId
from services.domain.average_precision import Operating, operating_point, twelve
from services.domain.match_state import EVER, MatchState, Window
from services.domain.subsets import Subset


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
