"""The store of imports: what each run published, and which are being undone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from services.contracts.events import FrameAnnotated, PredictionsMade
from services.contracts.identity import DetectorId, FrameId, ImportId


class ImportKind(StrEnum):
    """What published."""

    DATA_SET = "data set"
    CORRECTIONS = "corrections"
    """A campaign's annotations, from a file or a tool."""
    BRIDGE = "bridge"
    CAMPAIGN = "campaign"
    """Frames that `gazeloop sample draw` drew; its items are their ground truth at that time."""


class Part(StrEnum):
    """A part of a frame that an import publishes."""

    FRAME = "frame"
    PREDICTIONS = "predictions"
    GROUND_TRUTH = "ground_truth"


@dataclass(frozen=True)
class ImportRun:
    """One run of an import.

    Attributes
    ----------
    name : of the data set, or of the detector's topic
    """

    import_id: ImportId
    kind: ImportKind
    name: str
    by: str
    at: datetime


@dataclass(frozen=True)
class ImportItem:
    """One event that a run published.

    Attributes
    ----------
    revision : of a campaign, the revision that the frame had when it was drawn; 0 without one
    previous : what the event replaced, if that was stored by then
    """

    part: Part
    frame_id: FrameId
    revision: int
    detector: DetectorId | None = None
    previous: PredictionsMade | FrameAnnotated | None = None


@dataclass(frozen=True)
class Undo:
    """Somebody's request to take back what an import published, or a detector version predicted.

    Attributes
    ----------
    after : the last key that was done; empty at the beginning
    keeps : whether a campaign's annotations stay
    """

    target: ImportId | DetectorId
    by: str
    at: datetime
    after: str = ""
    keeps: bool = False

    @property
    def is_of_detector(self) -> bool:
        """Whether the target is a detector version, `name@version`; ids of imports have no `@`."""
        return "@" in self.target

    @property
    def tag(self) -> str:
        """Distinguishes what is published again after this undo from what was published before."""
        return f"after undo of {self.target} at {self.at.isoformat()}"


@dataclass(frozen=True)
class ImportSummary:
    """A run with the number of events of each part, and when it was undone."""

    run: ImportRun
    counts: Mapping[Part, int] = field(default_factory=dict)
    undone_at: datetime | None = None


class ImportStore(Protocol):
    """Runs, their items, and undos. Every call is durable once it returns, and may be repeated."""

    async def begin(self, run: ImportRun) -> None:
        """Note that a run publishes.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def note(self, import_id: ImportId, items: Sequence[ImportItem]) -> None:
        """Note what a run is about to publish; repeats change nothing.

        Of a part that the run published before, the later revision is noted. If it follows that
        one directly, what the first replaced stays noted as replaced.
        """
        ...

    async def run(self, import_id: ImportId) -> ImportRun | None:
        """The run with this id."""
        ...

    async def all(self) -> Sequence[ImportSummary]:
        """Every run, newest first."""
        ...

    async def items_after(
        self, import_id: ImportId, after: str, limit: int
    ) -> tuple[Sequence[ImportItem], str]:
        """Some items of a run, in a fixed order, and the last one's key."""
        ...

    async def request(self, undo: Undo) -> None:
        """Note that a target is to be undone; an unfinished request stays as it is."""
        ...

    async def pass_over(self, undone: Sequence[ImportItem]) -> None:
        """Treat these undone items as never published; may be repeated.

        What replaced their revisions now replaces what these had replaced.
        """
        ...

    async def undo_of(self, target: ImportId | DetectorId) -> Undo | None:
        """The latest undo of a target, finished or not."""
        ...

    async def unfinished(self) -> Sequence[Undo]:
        """The undos that are not finished, oldest first."""
        ...

    async def advance(self, undo: Undo) -> None:
        """Note how far an undo is."""
        ...

    async def finish(self, undo: Undo) -> None:
        """Note that an undo is finished."""
        ...

    async def mark_undone(self, frame_ids: Collection[FrameId], tag: str) -> None:
        """Note that something of these frames was undone; the latest tag counts."""
        ...

    async def undone(self, frame_ids: Collection[FrameId]) -> Mapping[FrameId, str]:
        """The tags of those frames of which something was undone."""
        ...
