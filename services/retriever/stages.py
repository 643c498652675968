"""The three stages of one detector, in one process: learner, scorer, allocator.

Each stage is a function of what it is handed: the learner of labelled regions, the scorer of model
ids and frames, the allocator of candidates, needles and verdicts. The decision about epochs
(docs/decisions/0004) has the topics by which they become processes of their own.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from services.contracts.identity import DetectorId, FrameId, ModelId, NeedleId, RegionId
from services.contracts.needles import ShortlistPublished
from services.domain.failure_modes import FailureMode
from services.domain.ports.epochs import StateChanges
from services.domain.ports.needles import NeedleRecord
from services.domain.shortlists.epochs import Epoch, with_release
from services.domain.shortlists.scored_candidates import Limits
from services.retriever.allocation.detector_allocator import DetectorAllocator
from services.retriever.changelog import Changelog, TableSpec
from services.retriever.learning.learner import OBSERVED, Learned
from services.retriever.logic import DetectorCategory, FrameFacts
from services.retriever.scoring.scorer import Queries, Scored

STATE: TableSpec[str, str] = TableSpec("state", str, str)
FRAMES: TableSpec[FrameId, bool] = TableSpec("frames", FrameId, bool)
"""The frames of the last epoch, and whether they are haystack frames that were embedded in it."""
LABELLED: TableSpec[FrameId, bool] = TableSpec("labelled", FrameId, bool)
"""Those of them of which a match labels regions."""
NEEDLES: TableSpec[NeedleId, bool] = TableSpec("needles", NeedleId, bool)
"""The needles that the last epoch changed, or whose shortlists."""


@dataclass(frozen=True)
class Changes:
    """What an epoch consumed.

    Attributes
    ----------
    records : needles that are new, changed or retracted
    frames : the current facts of frames that were embedded or annotated again
    haystack : those of them that are haystack and were embedded
    labelled : those of them of which a match labels regions
    observed : how many events may change the examples of each category
    is_empty : whether there were no events
    """

    records: Sequence[NeedleRecord]
    frames: Mapping[FrameId, FrameFacts]
    haystack: Collection[FrameId] = ()
    labelled: Collection[FrameId] = ()
    observed: Mapping[DetectorCategory, int] = field(default_factory=dict)
    is_empty: bool = False

    def of(self, detector: DetectorId) -> "Changes":
        """The changes for one detector."""
        records = [record for record in self.records if detector_of(record) == detector]
        observed = {
            category: count for category, count in self.observed.items() if category[0] == detector
        }
        return replace(self, records=records, observed=observed)


def detector_of(record: NeedleRecord) -> DetectorId | None:
    """The detector of a needle; None where only its retraction has arrived so far."""
    return record.needle.detector if record.needle is not None else None


class ClosedEpoch(NamedTuple):
    """An epoch that is ready to be recorded, with what it changed, and its shortlists."""

    epoch: Epoch
    changes: StateChanges
    shortlists: Sequence[ShortlistPublished]


class ModelFitter(Protocol):
    """The first stage; see `Learner`."""

    async def refit(
        self,
        modes: Mapping[DetectorCategory, Collection[FailureMode]],
        model: ModelId,
        *,
        refresh: bool,
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

    async def follow(self, frames: Collection[FrameId]) -> None:
        """Take note of frames that another process has scored."""
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
    """The stages of one detector under one embedding model, on the tables of one changelog."""

    def __init__(
        self,
        learner: ModelFitter,
        scorer: FrameScorer,
        allocator: DetectorAllocator,
        model: ModelId,
        changelog: Changelog,
    ) -> None:
        self.allocator = allocator
        self._learner = learner
        self.scorer = scorer
        self.model = model
        self.changelog = changelog
        self.observed = changelog.table(OBSERVED)
        """Events so far that may have changed the examples of each category."""
        self.state = changelog.table(STATE)
        """What else is known from one epoch to the next."""
        self.frames = changelog.table(FRAMES)
        self.labelled = changelog.table(LABELLED)
        self.needles = changelog.table(NEEDLES)
        self.closed = 0
        """The number of the epoch whose record has the stages as they are; 0 if none has."""

    async def close(
        self, changes: Changes, limits: Limits, before: Epoch | None, epoch: Epoch, early: float
    ) -> ClosedEpoch:
        """Run the stages one after the other.

        Parameters
        ----------
        before, epoch : the last epoch, and this one
        early : the share of the budget that is released while growth is fast
        """
        self.closed = 0
        for (_, category), count in changes.observed.items():
            self.observed[category] = self.observed.get(category, 0) + count
        await self.allocator.update(changes.records, changes.frames, limits)
        needles = self.allocator.needles
        # All models, before frames are listed after a time of growth.
        refresh = epoch.settled and (before is None or not before.settled)
        learned = await self._learner.refit(needles.modes(), self.model, refresh=refresh)
        scored = await self.scorer.score(learned.model_ids, changes.frames, needles)
        self.allocator.take(scored, changes.frames.keys())
        await self.allocator.release_unopened(await self._unsupported(scored))
        epoch = replace(epoch, settled=epoch.settled and not learned.unfinished)
        epoch = replace(with_release(epoch, before, early), models=scored.model_ids)
        shortlists = await self.allocator.allocate(epoch)
        self._note(changes, shortlists)
        return ClosedEpoch(epoch, await asyncio.to_thread(self.changelog.next), shortlists)

    def _note(self, changes: Changes, shortlists: Sequence[ShortlistPublished]) -> None:
        """Note what other processes have to read again."""
        self.frames.clear()
        self.frames.update({frame: frame in changes.haystack for frame in changes.frames})
        self.labelled.clear()
        self.labelled.update(dict.fromkeys(changes.labelled, True))
        self.needles.clear()
        self.needles.update({record.needle_id: True for record in changes.records})
        self.needles.update({shortlist.needle_id: True for shortlist in shortlists})

    async def _unsupported(self, scored: Scored) -> set[FrameId]:
        """Listed frames without evidence under the new models."""
        frames: set[FrameId] = set()
        for detector_category in sorted(scored.replaced):
            listed = self.allocator.listed(detector_category)
            needles = self.allocator.needles
            frames |= await self.scorer.unsupported(detector_category, listed, needles)
        return frames
