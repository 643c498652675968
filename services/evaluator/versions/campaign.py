"""What a campaign cost: frames, boxes and annotators' time, per family."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from services.contracts.events import FrameAnnotated


@dataclass(frozen=True)
class Cost:
    """The cost of re-annotated frames.

    Attributes
    ----------
    boxes : annotations in their ground truth
    timed : frames whose tool reported how long the annotator took
    seconds : their sum
    """

    frames: int = 0
    boxes: int = 0
    timed: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, truths: Iterable[FrameAnnotated]) -> Self:
        """The cost of these frames, each by its latest ground truth."""
        truths = list(truths)
        times = [truth.lead_time_s for truth in truths if truth.lead_time_s is not None]
        boxes = sum(len(truth.annotations) for truth in truths)
        return cls(len(truths), boxes, len(times), sum(times))

    @property
    def hours(self) -> float | None:
        """Annotator hours, frames without a time at the mean of the others; None without any."""
        if not self.timed or not self.seconds:
            return None
        return self.seconds / self.timed * self.frames / 3600


@dataclass(frozen=True)
class Campaign:
    """The re-annotated frames of the old version's shortlists.

    Attributes
    ----------
    families : by family, the frames on the shortlists of its needles
    """

    total: Cost
    families: Mapping[str, Cost]
