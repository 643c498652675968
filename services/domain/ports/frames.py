"""The durable record of every frame: the latest event of each kind that is known of it."""

import hashlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.contracts.events import (
    FrameAnnotated,
    FrameCaptured,
    FrameEmbedded,
    PredictionsMade,
)
from services.contracts.identity import DetectorId, FrameId, ModelId

FrameFact = FrameCaptured | PredictionsMade | FrameAnnotated | FrameEmbedded


@dataclass(frozen=True)
class FrameRecord:
    """What is known of one frame so far; each part is its highest revision.

    Attributes
    ----------
    original : the frame that first showed this frame's picture; the frame itself where it did, and
        none where nobody has looked yet
    """

    frame_id: FrameId
    captured: FrameCaptured | None = None
    ground_truth: FrameAnnotated | None = None
    predictions: Mapping[DetectorId, PredictionsMade] = field(default_factory=dict)
    embedded: Mapping[ModelId, FrameEmbedded] = field(default_factory=dict)
    original: FrameId | None = None

    @property
    def is_copy(self) -> bool:
        """Whether another frame showed the same picture first."""
        return self.original not in {None, self.frame_id}


@dataclass(frozen=True)
class FrameTally:
    """How many frames are captured, have predictions (per detector version), are annotated.

    Attributes
    ----------
    partial_predictions, partial_ground_truth : how many of those are incomplete
    copies : frames whose picture another frame showed first
    """

    frames: int
    predictions: int
    ground_truth: int
    partial_predictions: int = 0
    partial_ground_truth: int = 0
    copies: int = 0


class FrameStore(Protocol):
    """Frames by id. Writing is idempotent, and an older revision never overwrites a newer one."""

    async def record(self, facts: Sequence[FrameFact]) -> None:
        """Merge the facts into their frames, durably.

        The first frame that is recorded with a picture (by its sha256) is that picture's original,
        for good; every other frame with it is a copy.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        ConflictingRevision
            A fact has the identity and revision of a stored one, and another content.
        """
        ...

    async def load(self, frame_ids: Collection[FrameId]) -> dict[FrameId, FrameRecord]:
        """The frames of these ids that are known at all."""
        ...

    def evaluable(
        self, frame_ids: Collection[FrameId] | None = None
    ) -> AsyncIterator[Sequence[FrameRecord]]:
        """Every frame with both predictions and ground truth: these parts, and its original.

        In no particular order, some hundreds at a time.

        Parameters
        ----------
        frame_ids : only of these
        """
        ...

    async def annotated_from(self, source: str) -> set[FrameId]:
        """The frames whose latest ground truth has this source, and is complete."""
        ...

    async def tally(self) -> FrameTally:
        """How many facts of each kind are known."""
        ...


def content_of(fact: FrameFact) -> str:
    """Digest of what a fact says; where a frame's bytes lie may change, what they are may not."""
    if isinstance(fact, FrameCaptured):
        content = fact.model_dump_json(exclude={"event_id": True, "image": {"uri": True}})
    else:
        # How long it took to say something is no part of what is said.
        exclude = {"event_id", "lead_time_s"}
        if getattr(fact, "complete", True):
            # Digests of what was published before the field existed stay valid.
            exclude.add("complete")
        content = fact.model_dump_json(exclude=exclude)
    return hashlib.sha256(content.encode()).hexdigest()
