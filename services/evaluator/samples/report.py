"""The models of `gazeloop sample`."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.identity import Category, DetectorId, FrameId
from services.domain.metrics.sampled_figures import Estimated, SampledFigures

FIGURES: Final = ("map", "precision", "recall", "lift")
"""The estimates of a report, by name."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shown(_Part):
    """What the detector shows of a category on all frames of a haystack."""

    operating_score: float
    """From which a detection was shown when the sample was drawn."""
    detections: int
    summed_scores: float


class DrawnSample(_Part):
    """A sample of the haystack: what `sample draw` prints and `sample estimate` reads."""

    campaign: str
    detector: DetectorId
    haystack: int
    """The frames that it was drawn from."""
    expected: int
    """The expected number of drawn frames; their number varies by about its root."""
    frames: dict[FrameId, Annotated[float, Field(gt=0, le=1)]]
    """The drawn frames, with the probability with which each was drawn."""
    shown: dict[Category, Shown] = {}
    """On all frames that it was drawn from; samples of earlier versions have none."""


class Estimate(_Part):
    """A figure of the whole haystack."""

    estimate: float | None
    interval: tuple[float, float] | None
    """95%; None where none would be honest."""
    naive: float | None
    """The same figure of all annotated haystack frames, as if none had been chosen."""

    @classmethod
    def of(cls, found: Estimated | None, naive: float | None) -> Self:
        """The estimate and the naive figure."""
        if found is None:
            return cls(estimate=None, interval=None, naive=naive)
        return cls(estimate=found.value, interval=found.bounds, naive=naive)


class SampledReport(_Part):
    """Estimates from a sample, beside the naive figures."""

    campaign: str
    detector: DetectorId
    haystack: int
    """The frames that the figures are of; of drawn frames of shortlists, their estimated number."""
    drawn: int
    """Annotated frames that were drawn, and are on no shortlist."""
    awaited: int
    """Drawn frames that have no complete ground truth yet; taken to be like the others."""
    chosen: int
    """Annotated frames on shortlists: each represents only itself."""
    categories: int
    """Categories in mAP."""
    rare_categories: int
    """Categories with objects on too few annotated frames."""
    map: Estimate
    precision: Estimate
    recall: Estimate
    lift: Estimate
    """Share of false positives on shortlisted frames, divided by that in the haystack."""


def lift_of(found: SampledFigures, shortlisted_precision: float | None) -> Estimated | None:
    """How much more of what is shown on shortlisted frames is wrong than in the haystack.

    Parameters
    ----------
    shortlisted_precision : known without error, because all of these frames are annotated
    """
    precision = found.precision
    if precision is None or shortlisted_precision is None or precision.value >= 1:
        return None
    wrong, bounds = 1 - shortlisted_precision, precision.bounds
    if bounds is None or bounds[1] >= 1:
        return Estimated(wrong / (1 - precision.value), None)
    low, high = (wrong / (1 - bound) for bound in bounds)
    return Estimated(wrong / (1 - precision.value), (low, high))
