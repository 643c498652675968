"""The three stages of one detector, in one process: learner, scorer, allocator.

Each stage is a function of what it is handed: the learner of labelled regions, the scorer of model
ids and frames, the allocator of candidates, needles and verdicts. The decision about epochs
(docs/decisions/0004) has the topics by which they become processes of their own.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from services.contracts.events import ShortlistPublished
from services.contracts.identity import DetectorId, FrameId, ModelId, RegionId
from services.domain.mining.failure_model import FailureMode
from services.domain.ports.needles import NeedleRecord
from services.domain.shortlists.epochs import Epoch, with_release
from services.domain.shortlists.scored_candidates import Limits
from services.retriever.allocation.detector_allocator import DetectorAllocator
from services.retriever.learning.learner import EXAMPLES_PER_EPOCH, Learned
from services.retriever.logic import DetectorCategory, FrameFacts
from services.retriever.scoring.scorer import Queries, Scored


@dataclass(frozen=True)
class Changes:
    """What an epoch consumed.

    Attributes
    ----------
    records : needles that are new, changed or retracted
    frames : the current facts of frames that were embedded or annotated again
    is_empty : whether there were no events
    """

    records: Sequence[NeedleRecord]
    frames: Mapping[FrameId, FrameFacts]
    is_empty: bool = False

    def of(self, detector: DetectorId) -> "Changes":
        """The changes for one detector."""
        records = [record for record in self.records if detector_of(record) == detector]
        return replace(self, records=records)


def detector_of(record: NeedleRecord) -> DetectorId | None:
    """The detector of a needle; None where only its retraction has arrived so far."""
    return record.needle.detector if record.needle is not None else None


class ClosedEpoch(NamedTuple):
    """An epoch that is ready to be recorded, and the shortlists that it changes."""

    epoch: Epoch
    shortlists: Sequence[ShortlistPublished]


class ModelFitter(Protocol):
    """The first stage; see `Learner`."""

    async def refit(
        self,
        modes: Mapping[DetectorCategory, Collection[FailureMode]],
        model: ModelId,
        *,
        refresh: bool,
        most_examples: float = EXAMPLES_PER_EPOCH,
    ) -> Learned:
        """Fit the models that are due."""
        ...


class FrameScorer(Protocol):
    """The second stage; see `Scorer`."""

    async def score(
        self,
        model_ids: Mapping[DetectorCategory, str],
        frames: Mapping[FrameId, FrameFacts],
        queries: Queries,
    ) -> Scored:
        """Score what is new."""
        ...

    async def unsupported(
        self,
        detector_category: DetectorCategory,
        listed: Mapping[FailureMode, Mapping[FrameId, RegionId]],
        queries: Queries,
    ) -> set[FrameId]:
        """The listed frames that no longer have enough evidence."""
        ...


class DetectorStages:
    """The stages of one detector under one embedding model; the learner is shared by detectors."""

    def __init__(
        self,
        learner: ModelFitter,
        scorer: FrameScorer,
        allocator: DetectorAllocator,
        model: ModelId,
    ) -> None:
        self.allocator = allocator
        self._learner = learner
        self._scorer = scorer
        self._model = model

    async def close(
        self, changes: Changes, limits: Limits, before: Epoch | None, epoch: Epoch, early: float
    ) -> ClosedEpoch:
        """Run the stages one after the other.

        Parameters
        ----------
        before, epoch : the last epoch, and this one; the same if it is closed again
        early : the share of the budget that is released while growth is fast
        """
        is_again = epoch is before
        await self.allocator.update(changes.records, changes.frames, limits)
        needles = self.allocator.needles
        learned = await self._learner.refit(
            needles.modes(),
            self._model,
            # Before frames are listed after a time of growth.
            refresh=epoch.settled and (is_again or before is None or not before.settled),
            # An epoch that is closed again lists what it listed, so no model may wait.
            most_examples=math.inf if is_again else EXAMPLES_PER_EPOCH,
        )
        scored = await self._scorer.score(learned.model_ids, changes.frames, needles)
        self.allocator.take(scored, changes.frames.keys())
        await self.allocator.release_unopened(await self._unsupported(scored))
        if not is_again:
            epoch = replace(epoch, settled=epoch.settled and not learned.unfinished)
            epoch = with_release(epoch, before, early)
        shortlists = await self.allocator.allocate(epoch)
        return ClosedEpoch(replace(epoch, models=scored.model_ids), shortlists)

    async def _unsupported(self, scored: Scored) -> set[FrameId]:
        """Listed frames without evidence under the new models."""
        frames: set[FrameId] = set()
        for detector_category in sorted(scored.replaced):
            listed = self.allocator.listed(detector_category)
            needles = self.allocator.needles
            frames |= await self._scorer.unsupported(detector_category, listed, needles)
        return frames
