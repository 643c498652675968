"""What has become of a data set: counts, and the records that were refused."""

from collections import Counter
from dataclasses import dataclass, field

from services.contracts.events import Event, FrameCaptured, PredictionsMade
from services.ingest.items import Rejection

LISTED_REJECTIONS = 1000
"""Rejections that a summary lists; all of them are counted, and are dead letters."""


@dataclass
class Count:
    """Events of one kind: acknowledged in this run, or by an earlier one."""

    published: int = 0
    known: int = 0

    @property
    def total(self) -> int:
        """All that the data set has."""
        return self.published + self.known


@dataclass
class Summary:
    """What has become of a data set so far."""

    done: int = 0
    """Frames done with, refused ones included; for a progress bar."""
    frames: Count = field(default_factory=Count)
    predictions: Count = field(default_factory=Count)
    """One for each frame and detector."""
    ground_truth: Count = field(default_factory=Count)
    """One for each frame."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    held: Counter[str] = field(default_factory=Counter)
    """Corrections that wait for an answer, by what is asked."""
    rejections: list[Rejection] = field(default_factory=list)
    """The first of them, in the data set's order."""

    def count_of(self, event: Event) -> Count:
        """The count that an event belongs to."""
        match event:
            case FrameCaptured():
                return self.frames
            case PredictionsMade():
                return self.predictions
            case _:
                return self.ground_truth

    def add_rejection(self, rejection: Rejection) -> None:
        """Count a rejection, and list it while there is room."""
        self.rejected[rejection.reason] += 1
        if len(self.rejections) < LISTED_REJECTIONS:
            self.rejections.append(rejection)
