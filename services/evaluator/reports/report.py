"""The models of `gazeloop report`."""

from collections.abc import Sequence
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.events import ErrorType
from services.contracts.identity import Category, DetectorId
from services.domain.metrics.ap_recovered import ApRecovered
from services.domain.metrics.error_costs import ErrorCosts
from services.domain.metrics.estimated_precision import EstimatedStream
from services.domain.metrics.lift import Lift
from services.domain.metrics.subsets import Subset
from services.domain.mining.map_objects import MapObject
from services.domain.statistics.calibration import calibration
from services.evaluator.curves import DetectorCurves
from services.evaluator.reports.estimates import EstimateReport
from services.evaluator.samples.report import SampledReport
from services.evaluator.slices import SliceReport

_MAX_PLACES: Final = 10


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Counts(_Part):
    """Counts over all detectors; needles and shortlists are of one detector.

    The first three include partial and copied frames, which count neither as reference nor in mAP.
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
    """Figures at the operating score, over R and H, matched at IoU .5."""

    score: float
    precision: float | None
    recall: float | None
    f1: float | None
    mean_iou: float | None
    true_positives: int
    false_positives: int
    false_negatives: int


class ShortlistReport(_Part):
    """Yield of shortlists, against draws of equally many regions.

    Draws have equally many regions per category, drive and hour; a region counts if its frame has
    ground truth. None where nothing counts, or where a ratio is undefined.
    """

    found: float | None = Field(alias="yield", default=None)
    """Share of the shortlisted regions that are false positives at IoU .5."""
    random_yield: float | None = None
    """Expected share in a random draw."""
    lowest_yield: float | None = None
    """Share in a draw of the lowest scores."""
    highest_yield: float | None = None
    """Share in a draw of the highest scores."""
    lift: float | None = None
    """`yield / random_yield`."""
    lift_over_lowest: float | None = None
    """`yield / lowest_yield`."""
    lift_over_highest: float | None = None
    """`yield / highest_yield`."""
    gain: float | None = None
    """`(yield - random_yield) / (1 - random_yield)`: 0 is the random draw, 1 is perfect."""
    intervals: dict[str, tuple[float, float]] = {}
    """95% interval of each of these, by name."""
    confirmed: int = 0
    rejected: int = 0
    """Number of shortlisted regions where the detector is wrong, and right."""
    regions: int = 0
    """The sum of both."""

    @classmethod
    def of(cls, lift: Lift | None) -> Self:
        """The report of a pool's lift; empty for None."""
        if lift is None:
            return cls()
        named = {
            "yield": lift.found,
            "random_yield": lift.random,
            "lowest_yield": lift.lowest,
            "highest_yield": lift.highest,
            "lift": lift.over_random,
            "lift_over_lowest": lift.over_lowest,
            "lift_over_highest": lift.over_highest,
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


class RecoveredReport(_Part):
    """AP recovered: what mAP of H gains once the false positives on some of its frames are gone."""

    frames: int
    """Shortlisted frames with ground truth; the draws have as many."""
    shortlisted: float
    interval: tuple[float, float]
    """Of `shortlisted`, 95%."""
    random: float
    """Mean over random draws of frames."""
    highest_scores: float
    """By the frames with the highest scores."""

    @classmethod
    def of(cls, found: ApRecovered) -> Self:
        """The report of what was recovered."""
        shortlisted = found.shortlisted
        return cls(
            frames=found.frames,
            shortlisted=shortlisted.value,
            interval=(shortlisted.low, shortlisted.high),
            random=found.random,
            highest_scores=found.highest,
        )


class ErrorPlace(_Part):
    """A map object with errors: a category at a place."""

    category: Category
    lat: float
    lon: float
    errors: int


class PlacedErrors(_Part):
    """Errors on frames with a position, and how many map objects they are."""

    errors: int
    map_objects: int
    most: tuple[ErrorPlace, ...] = ()
    """The map objects with the most errors, at most ten."""

    @classmethod
    def of(cls, errors: int, found: Sequence[MapObject]) -> Self:
        """The report of map objects, those with the most errors first."""
        most = tuple(ErrorPlace(**item._asdict()) for item in found[:_MAX_PLACES])
        return cls(errors=errors, map_objects=len(found), most=most)


class PlacesReport(_Part):
    """Errors per map object: of one category within 25 m, from any drive."""

    needles: PlacedErrors
    shortlisted: PlacedErrors
    known: int = 0
    """Places that annotators marked as known, of any detector: their sightings are not listed."""
    needles_at_known: int = 0
    """Needles at these places."""


class CalibrationReport(_Part):
    """Calibration of the evidence of logistic models, as the probability of the needle's mode.

    Over shortlisted regions whose frames have ground truth; None where there are none. These are
    the regions with the most evidence, so the error over all regions is smaller. Evidence by
    contrast or similarity is no probability, and does not count.
    """

    error: float | None = None
    """Expected calibration error over ten bins."""
    error_by_chance: float | None = None
    """95% of samples of `count` regions have a smaller error where evidence is exactly right."""
    predicted: float | None = Field(alias="said", default=None)
    """Mean evidence. The JSON calls it `said`, which scripts read."""
    came_true: float | None = None
    """Share that fails in that mode."""
    count: int = 0

    @classmethod
    def of(cls, judged: Sequence[tuple[float, bool]]) -> Self:
        """Calibration of pairs of evidence and outcome."""
        found = calibration([evidence for evidence, _ in judged], [true for _, true in judged])
        if found is None:
            return cls()
        return cls(
            error=found.error,
            error_by_chance=found.by_chance,
            predicted=found.predicted,
            came_true=found.came_true,
            count=found.count,
        )


class Report(_Part):
    """Everything about one detector."""

    detector: DetectorId
    counts: Counts
    needles_by_error_type: dict[ErrorType, int]
    error_costs: dict[str, float] = {}
    """AP at IoU .5 that each error type costs on all frames; empty unless requested."""
    map: dict[Subset, dict[str, float | None]]
    order_holds: bool | None
    operating: OperatingReport
    shortlist: ShortlistReport
    ap_recovered: RecoveredReport | None = None
    """By the shortlisted frames; None unless requested, or without any."""
    places: PlacesReport | None = None
    """None unless requested, or without needles."""
    calibration: CalibrationReport
    calibration_by_category: dict[Category, CalibrationReport]
    """Of the categories with judged regions."""
    sampled: SampledReport | None = None
    """Estimates from the frames of shortlists that were drawn; None with too few of them annotated,
    or if the report is about a sample of the frames."""
    estimated: EstimateReport | None = None
    """Precision on frames without ground truth; None unless requested, or not estimated yet."""
    curves: DetectorCurves | None = None
    """On all frames; None unless requested."""
    slices: tuple[SliceReport, ...] = ()
    """The frames of each tag compared with all others, worse ones first; empty unless requested."""

    def with_curves(self, curves: DetectorCurves, slices: Sequence[SliceReport]) -> Self:
        """A copy of the report with curves and slices."""
        return self.model_copy(update={"curves": curves, "slices": tuple(slices)})

    def with_recovered(self, recovered: RecoveredReport | None) -> Self:
        """A copy of the report with AP recovered."""
        return self.model_copy(update={"ap_recovered": recovered})

    def with_places(self, places: PlacesReport | None) -> Self:
        """A copy of the report with the places of errors."""
        return self.model_copy(update={"places": places})

    def with_estimated(self, estimated: EstimatedStream | None) -> Self:
        """A copy of the report with precision on frames without ground truth."""
        found = None if estimated is None else EstimateReport.of(estimated)
        return self.model_copy(update={"estimated": found})

    def with_costs(self, error_costs: ErrorCosts) -> Self:
        """A copy of the report with error costs."""
        costs = {error_type.value: cost for error_type, cost in error_costs.costs.items()}
        return self.model_copy(update={"error_costs": costs})

    def json_text(self) -> str:
        """The report as `gazeloop report --json` prints it."""
        return self.model_dump_json(by_alias=True, indent=2)
