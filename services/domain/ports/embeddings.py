"""The embedding store's protocol: the parts of each frame, and which of them are embedded.

A frame is done once its vectors match the latest predictions of all detectors.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.contracts.events import (
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.identity import DetectorId, FrameId, ModelId

EmbeddingFact = FrameCaptured | PredictionsMade | FrameAnnotated | FrameEmbedded


@dataclass(frozen=True)
class EmbeddingRecord:
    """What is known of one frame.

    Attributes
    ----------
    revisions : the latest revision of each detector's predictions
    waiting : predictions of that revision that have no vectors of the model that is filled first
    ground_truth_revision : the latest; 0 where none was recorded
    ground_truth : the one of that revision, while it waits as predictions do
    embedded : the last event of each model
    """

    frame_id: FrameId
    captured: FrameCaptured | None = None
    revisions: Mapping[DetectorId, int] = field(default_factory=dict)
    waiting: Mapping[DetectorId, PredictionsMade] = field(default_factory=dict)
    ground_truth_revision: int = 0
    ground_truth: FrameAnnotated | None = None
    embedded: Mapping[ModelId, FrameEmbedded] = field(default_factory=dict)

    def lacks_regions(self, model: ModelId) -> bool:
        """Whether the model must embed regions that are not here: another model has."""
        stored = self.embedded.get(model)
        done = stored.predictions_revisions if stored else {}
        return self._lacks_ground_truth(stored) or any(
            detector not in self.waiting and done.get(detector) != revision
            for detector, revision in self.revisions.items()
        )

    def _lacks_ground_truth(self, stored: FrameEmbedded | None) -> bool:
        done = (stored.ground_truth_revision or 0) if stored else 0
        return self.ground_truth is None and done != self.ground_truth_revision


@dataclass(frozen=True)
class Points:
    """How many points of one model there are: one per frame, and one per region."""

    frames: int
    regions: int

    def cover(self, points: "Points") -> bool:
        """Whether there are at least as many of both."""
        return self.frames >= points.frames and self.regions >= points.regions


class Embeddings(Protocol):
    """Embedded frames by model. Every method raises StoreUnavailable if the store is down."""

    async def record(self, facts: Sequence[EmbeddingFact]) -> None:
        """Merge the facts, durably; an older revision never overwrites a newer one.

        Predictions and ground truth that an event has embedded are dropped.
        """
        ...

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, EmbeddingRecord]:
        """What is known of those of these frames that are known at all."""
        ...

    async def captured(self) -> int:
        """How many frames have an image."""
        ...

    async def done(self, model: ModelId) -> int:
        """How many of them this model has finished."""
        ...

    async def lacking(self, model: ModelId, live: ModelId) -> int:
        """How many `live` has finished and `model` has not: a search by `model` misses them."""
        ...

    async def pending(self, model: ModelId, after: FrameId | None, limit: int) -> list[FrameId]:
        """The first frames after `after`, by id, that the model has not finished."""
        ...

    async def one(self, model: ModelId) -> FrameEmbedded | None:
        """The event of any one frame that the model has embedded."""
        ...

    async def points(self) -> dict[ModelId, Points]:
        """How many points each model must have according to the FrameEmbedded events."""
        ...

    async def embedded_frames(
        self, model: ModelId, after: FrameId | None, limit: int
    ) -> list[FrameEmbedded]:
        """The events of the first frames after `after`, by id."""
        ...

    async def embedded_since(self, model: ModelId, at: datetime) -> bool:
        """Whether the model has embedded any frame since a time."""
        ...

    async def forget(self, model: ModelId, frame_ids: Collection[FrameId]) -> None:
        """Delete the events of these frames, because their vectors are gone, or go."""
        ...
