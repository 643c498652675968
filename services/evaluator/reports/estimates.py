"""The model of estimated precision in reports."""

from typing import Self

from pydantic import BaseModel, ConfigDict

from services.domain.metrics.estimated_precision import EstimatedSlice, EstimatedStream, NoInterval
from services.evaluator.slices import bounds_of


class EstimatedSliceReport(BaseModel):
    """Unannotated frames, those with a tag or all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """A tag such as `weather=rain`; `all` for all frames."""
    frames: int
    detections: int
    """From the operating score on."""
    precision: float | None
    """Of these, estimated; None where too many frames look like nothing annotated."""
    interval: tuple[float, float] | None
    """95%; None where `no_interval` gives the reason."""
    no_interval: NoInterval | None
    drift: float | None
    """The share of frames that look like nothing annotated: .05 where nothing drifts."""
    drift_interval: tuple[float, float] | None
    worse: bool
    """Whether the interval is below that of the reference."""

    @classmethod
    def of(cls, part: EstimatedSlice, *, worse: bool) -> Self:
        """The report of a slice."""
        return cls(
            name=part.name,
            frames=part.frames,
            detections=part.detections,
            precision=part.precision,
            interval=bounds_of(part.interval),
            no_interval=part.no_interval,
            drift=None if part.drift is None else part.drift.value,
            drift_interval=bounds_of(part.drift),
            worse=worse,
        )


class EstimateReport(BaseModel):
    """Precision on frames without ground truth, estimated from a sample of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: float | None
    """Precision on the reference, measured."""
    reference_interval: tuple[float, float] | None
    slices: tuple[EstimatedSliceReport, ...]
    """All frames, then at most 29 tags, those with the lowest upper bounds."""

    @classmethod
    def of(cls, found: EstimatedStream) -> Self:
        """The report of what was estimated."""
        return cls(
            reference=None if found.reference is None else found.reference.value,
            reference_interval=bounds_of(found.reference),
            slices=tuple(
                EstimatedSliceReport.of(part, worse=found.is_worse(part)) for part in found.slices
            ),
        )
