"""What `gazeloop report` says of a detector."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.events import ErrorType
from services.contracts.identity import Category, DetectorId
from services.domain.metrics.error_costs import ErrorCosts
from services.domain.metrics.lift import Lift
from services.domain.metrics.subsets import Subset
from services.domain.statistics.calibration import calibration


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Counts(_Part):
    """How many there are, of all detectors together; needles and shortlists of this one.

    What is partial and what is a copy is among the first three, and does not count: neither as
    reference nor in mAP.
    """

    frames: int
    predictions: int
    ground_truth: int
    partial_predictions: int = 0
    partial_ground_truth: int = 0
    copies: int = 0
    needles: int = 0
    shortlists: int = 0
    dead_letters: int = 0


class OperatingReport(_Part):
    """What is shown from the operating score on, over R and H, matched at IoU .5."""

    score: float
    precision: float | None
    recall: float | None
    f1: float | None
    mean_iou: float | None
    true_positives: int
    false_positives: int
    false_negatives: int


class ShortlistReport(_Part):
    """How much of what is shortlisted is wrong, against draws of as many regions.

    Of each category, drive and hour as many; a region counts where its frame has ground truth. None
    where nothing counts, or where a ratio is not defined.
    """

    found: float | None = Field(alias="yield", default=None)
    """Share of the shortlisted regions that are false positives at IoU .5."""
    random_yield: float | None = None
    """Share that a random draw would have."""
    lowest_yield: float | None = None
    """Share of the draw that has the lowest scores."""
    lift: float | None = None
    """`yield / random_yield`."""
    lift_over_lowest: float | None = None
    """`yield / lowest_yield`."""
    gain: float | None = None
    """`(yield - random_yield) / (1 - random_yield)`: 0 is the random draw, 1 is perfect."""
    intervals: dict[str, tuple[float, float]] = {}
    """95% of each of these, by name."""
    confirmed: int = 0
    rejected: int = 0
    """Shortlisted regions that count, wrong and right."""
    regions: int = 0
    """Both."""

    @classmethod
    def of(cls, lift: Lift | None) -> Self:
        """What a pool said."""
        if lift is None:
            return cls()
        named = {
            "yield": lift.found,
            "random_yield": lift.random,
            "lowest_yield": lift.lowest,
            "lift": lift.over_random,
            "lift_over_lowest": lift.over_lowest,
            "gain": lift.gain,
        }
        values = {name: interval.value for name, interval in named.items() if interval is not None}
        return cls(
            **values,
            intervals={name: (i.low, i.high) for name, i in named.items() if i is not None},
            confirmed=lift.confirmed,
            rejected=lift.rejected,
            regions=lift.confirmed + lift.rejected,
        )


class CalibrationReport(_Part):
    """How well the evidence of learnt models says how probably a region fails in the needle's mode.

    By shortlisted regions whose frames have ground truth; None where there are none.
    """

    error: float | None = None
    """Expected calibration error over ten bins."""
    said: float | None = None
    """Mean evidence."""
    came_true: float | None = None
    """Share that does fail in that mode."""
    count: int = 0

    @classmethod
    def of(cls, judged: Sequence[tuple[float, bool]]) -> Self:
        """Evidence, and whether it came true."""
        found = calibration([lift for lift, _ in judged], [true for _, true in judged])
        return cls() if found is None else cls(**asdict(found))


class Report(_Part):
    """Everything about one detector."""

    detector: DetectorId
    counts: Counts
    needles_by_error_type: dict[ErrorType, int]
    error_costs: dict[str, float] = {}
    """AP at IoU .5 that each kind of error costs on all frames; empty where it was not asked."""
    map: dict[Subset, dict[str, float | None]]
    order_holds: bool | None
    operating: OperatingReport
    shortlist: ShortlistReport
    calibration: CalibrationReport
    calibration_by_category: dict[Category, CalibrationReport]
    """Of the categories that have any."""

    def with_costs(self, error_costs: ErrorCosts) -> Self:
        """The same, with what errors cost."""
        costs = {kind.value: cost for kind, cost in error_costs.costs.items()}
        return self.model_copy(update={"error_costs": costs})

    def json_text(self) -> str:
        """The report as `gazeloop report --json` prints it."""
        return self.model_dump_json(by_alias=True, indent=2)
