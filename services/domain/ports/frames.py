"""The frame store's protocol: the latest event of each type for every frame."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from services.contracts.events import (
    FrameAnnotated,
    FrameCaptured,
    PredictionsMade,
)
from services.contracts.identity import DetectorId, FrameId
from services.domain.detection.category_map import SAME_NAMES, CategoryMap, NamedPredictions
from services.domain.ports.category_maps import MapScope

Pair = tuple[FrameId, DetectorId]
FrameFact = FrameCaptured | PredictionsMade | FrameAnnotated


@dataclass(frozen=True)
class AffectedPredictions:
    """The predictions that some events may affect: of every detector on a frame, or of one."""

    frames: frozenset[FrameId]
    pairs: frozenset[Pair]

    @classmethod
    def by(cls, facts: Iterable[FrameFact], pairs: Iterable[Pair] = ()) -> Self:
        """Those that facts about frames affect, and these pairs.

        Predictions are of one detector; an image and a ground truth affect all. It does not matter
        what is stored already: a repeated event affects the same.
        """
        facts = list(facts)
        predicted = {(f.frame_id, f.detector_id) for f in facts if isinstance(f, PredictionsMade)}
        others = {fact.frame_id for fact in facts if not isinstance(fact, PredictionsMade)}
        return cls(frozenset(others), frozenset(predicted.union(pairs)))

    @property
    def frame_ids(self) -> set[FrameId]:
        """All frames that are affected."""
        return {*self.frames, *(frame_id for frame_id, _ in self.pairs)}

    def of(self, record: "FrameRecord") -> "FrameRecord":
        """The frame with no other predictions than those."""
        if record.frame_id in self.frames:
            return record
        kept = {
            detector: predictions
            for detector, predictions in record.predictions.items()
            if (record.frame_id, detector) in self.pairs
        }
        return replace(record, predictions=kept)


@dataclass(frozen=True)
class FrameRecord:
    """What is known of one frame so far; each part is its highest revision.

    Attributes
    ----------
    original : the first frame with the same image, possibly this frame; None while the image is
        unknown
    category_maps : the maps of the detectors' names, where they differ from the ground truth's
    image_deleted : whether the image was older than the settings let it be kept
    """

    frame_id: FrameId
    captured: FrameCaptured | None = None
    ground_truth: FrameAnnotated | None = None
    predictions: Mapping[DetectorId, PredictionsMade] = field(default_factory=dict)
    original: FrameId | None = None
    category_maps: Mapping[DetectorId, CategoryMap] = field(default_factory=dict)
    image_deleted: bool = False

    def part(self, detector: DetectorId | None) -> PredictionsMade | FrameAnnotated | None:
        """What is stored of the detector's predictions; without a detector, of the ground truth."""
        return self.ground_truth if detector is None else self.predictions.get(detector)

    def category_map(self, detector: DetectorId) -> CategoryMap:
        """The category map of the detector."""
        return self.category_maps.get(detector, SAME_NAMES)

    def named(self, detector: DetectorId) -> NamedPredictions:
        """A detector's predictions by the ground truth's names."""
        return self.category_map(detector).named(self.predictions[detector])

    @property
    def is_copy(self) -> bool:
        """Whether another frame had the same image first."""
        return self.original not in {None, self.frame_id}


@dataclass(frozen=True)
class FrameTally:
    """Numbers of frames captured, of predictions (per detector version), and of annotated frames.

    Attributes
    ----------
    partial_predictions, partial_ground_truth : how many of those are incomplete
    copies : frames whose image another frame had first
    """

    frames: int
    predictions: int
    ground_truth: int
    partial_predictions: int = 0
    partial_ground_truth: int = 0
    copies: int = 0


class FrameStore(Protocol):
    """Frames by id. Writing is idempotent, and an older revision never overwrites a newer one.

    Category maps are read after the predictions to which they apply.
    """

    async def record(
        self, facts: Sequence[FrameFact], pairs: Collection[Pair] = ()
    ) -> dict[FrameId, FrameRecord]:
        """Merge the facts into their frames, durably; returns these frames as they are then.

        The first frame that is recorded with an image (by its sha256) is permanently that image's
        original; every other frame with it is a copy.

        Parameters
        ----------
        pairs : frames and detectors that are returned too

        Returns
        -------
        The frames of the facts and pairs, each with its affected predictions.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        ConflictingRevision
            A fact has the identity and revision of a stored one, but different content.
        """
        ...

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameRecord]:
        """The frames of these ids that are known at all."""
        ...

    async def image_sizes(
        self, frame_ids: Collection[FrameId]
    ) -> Mapping[FrameId, tuple[int, int]]:
        """Width and height of the images of these frames, where they are captured."""
        ...

    def evaluable(
        self, frame_ids: Collection[FrameId] | None = None
    ) -> AsyncIterator[Sequence[FrameRecord]]:
        """Every frame with predictions and ground truth: these parts, and its original.

        In chunks of some hundreds, in no particular order.

        Parameters
        ----------
        frame_ids : only of these
        """
        ...

    def predicted(self, detector: DetectorId) -> AsyncIterator[Sequence[FrameRecord]]:
        """Every frame that this detector has predicted, with no other detector's predictions.

        In chunks of some hundreds, in no particular order.
        """
        ...

    async def category_maps(
        self, detectors: Collection[DetectorId]
    ) -> Mapping[DetectorId, CategoryMap]:
        """The category maps of these detectors."""
        ...

    async def predictions_after(
        self, scope: MapScope, after: str, limit: int
    ) -> tuple[Sequence[PredictionsMade], str]:
        """Some predictions of the detectors in a scope, in a fixed order, and the last one's key.

        Parameters
        ----------
        after : the last key that was read; empty at the beginning
        """
        ...

    async def annotated_from(self, source: str) -> set[FrameId]:
        """The frames whose latest ground truth has this source, and is complete."""
        ...

    async def tally(self) -> FrameTally:
        """Count the stored facts of each type."""
        ...
