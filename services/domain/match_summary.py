"""What mAP needs of a match: all but which regions they were and where they lay."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.events import ErrorType, Split
from services.contracts.identity import Category, DetectorId, FrameId, VehicleId


class Counted(Protocol):
    """A `FrameMatched`, or its summary; what the columns mean stands there."""

    @property
    def frame_id(self) -> FrameId: ...
    @property
    def detector(self) -> DetectorId: ...
    @property
    def category(self) -> Category: ...
    @property
    def revision(self) -> int: ...
    @property
    def split(self) -> Split: ...
    @property
    def shortlisted(self) -> bool: ...
    @property
    def vehicle_id(self) -> VehicleId: ...
    @property
    def captured_at(self) -> datetime: ...
    @property
    def scores(self) -> tuple[float, ...]: ...
    @property
    def matched(self) -> tuple[int, ...]: ...
    @property
    def ignored(self) -> tuple[int, ...]: ...
    @property
    def overlaps(self) -> tuple[float, ...]: ...
    @property
    def errors(self) -> tuple[ErrorType | None, ...]: ...
    @property
    def ground_truths(self) -> tuple[int, int, int, int]: ...


@dataclass(frozen=True, slots=True)
class MatchSummary:
    """A `Counted` that costs little to read: a million are read when an evaluator starts."""

    frame_id: FrameId
    detector: DetectorId
    category: Category
    revision: int
    split: Split
    shortlisted: bool
    vehicle_id: VehicleId
    captured_at: datetime
    scores: tuple[float, ...]
    matched: tuple[int, ...]
    ignored: tuple[int, ...]
    overlaps: tuple[float, ...]
    errors: tuple[ErrorType | None, ...]
    ground_truths: tuple[int, int, int, int]
