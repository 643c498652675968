"""The model of a slice, in reports of stored and of files' data."""

from typing import Self

from pydantic import BaseModel, ConfigDict

from services.domain.metrics.slices import Slice
from services.domain.statistics.resampling import Interval


class SliceReport(BaseModel):
    """The frames with one tag, or with two, compared with all others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    value: str
    frames: int
    map: float | None
    map_interval: tuple[float, float] | None
    precision: float | None
    precision_interval: tuple[float, float] | None
    recall: float | None
    recall_interval: tuple[float, float] | None
    difference: float
    """mAP minus that of the other frames, over the categories that both have."""
    p_value: float
    """Of no difference, before Holm's correction over all slices and pairs of tags."""
    worse: bool
    """Whether the difference is below 0, and significant at 5% after the correction.

    A pair of tags must also be worse than the other frames of either tag.
    """
    and_key: str | None = None
    and_value: str | None = None
    """The second tag of a pair."""

    @property
    def name(self) -> str:
        """The slice as text, such as `weather=rain and road=tunnel`."""
        first = f"{self.key}={self.value}"
        return first if self.and_key is None else f"{first} and {self.and_key}={self.and_value}"

    @classmethod
    def of(cls, found: Slice) -> Self:
        """The report of a slice."""
        key, value = found.tag
        and_key, and_value = found.and_tag or (None, None)
        return cls(
            key=key,
            value=value,
            frames=found.frames,
            map=_value(found.map),
            map_interval=bounds_of(found.map),
            precision=_value(found.precision),
            precision_interval=bounds_of(found.precision),
            recall=_value(found.recall),
            recall_interval=bounds_of(found.recall),
            difference=found.difference,
            p_value=found.p_value,
            worse=found.worse,
            and_key=and_key,
            and_value=and_value,
        )


def bounds_of(interval: Interval | None) -> tuple[float, float] | None:
    """The bounds of an interval, if there is one."""
    return None if interval is None else (interval.low, interval.high)


def _value(interval: Interval | None) -> float | None:
    return None if interval is None else interval.value
