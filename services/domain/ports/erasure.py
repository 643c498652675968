"""Erasure: tombstones of erased frames, places that hold something of them, and copies outside."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from services.contracts.identity import FrameHash, FrameId

RETENTION: Final = "retention"
"""Who erases frames that are too old, in tombstones and in the audit log."""


@dataclass(frozen=True)
class ErasureRequest:
    """One person's request to erase frames.

    Attributes
    ----------
    services : those that are to erase what they hold, and to confirm it
    """

    requested_by: str
    reason: str
    requested_at: datetime
    services: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tombstone:
    """An erased frame whose traces are not all erased yet, so that its id is still needed."""

    frame_id: FrameId
    reason: str
    requested_by: str


class TombstoneStore(Protocol):
    """The erased frames, by the hash of their id. Every call is durable once it returns.

    A tombstone is never deleted: it keeps late and repeated events of its frame out. It holds the
    frame's id until every place is swept and every service has confirmed.
    """

    async def add(self, frame_ids: Collection[FrameId], request: ErasureRequest) -> None:
        """Note that these frames are erased; a repeated request starts over.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def erased(self, frame_ids: Collection[FrameId]) -> set[FrameId]:
        """Those of the frames that are erased."""
        ...

    async def requesters(self) -> Mapping[FrameHash, tuple[str, str]]:
        """For every erased frame, who asked for it first, and why."""
        ...

    async def unswept(self, limit: int, before: datetime | None = None) -> Sequence[Tombstone]:
        """Frames whose traces were not all erased, in the order of their hashes.

        Parameters
        ----------
        before : only those that were first requested before this time
        """
        ...

    async def await_services(self, frame_ids: Collection[FrameId], services: Sequence[str]) -> None:
        """Wait for these services too before the frames' ids are forgotten."""
        ...

    async def note_swept(self, frame_ids: Collection[FrameId]) -> None:
        """Note that the requester has erased all that it can reach."""
        ...

    async def unconfirmed(self, hashes: AbstractSet[FrameHash]) -> Mapping[FrameHash, FrameId]:
        """The ids of those frames that are still needed."""
        ...

    async def confirm(self, hashes: AbstractSet[FrameHash], service: str) -> None:
        """Note that a service has erased what it holds of these frames."""
        ...

    async def awaited(self) -> Mapping[str, int]:
        """For each service that has frames to confirm, their number."""
        ...


@dataclass(frozen=True)
class OutsideCopy:
    """What may still show or name erased frames, and that Gazeloop cannot delete.

    Attributes
    ----------
    where : the system that has it, in words
    ids : what to look for there: tasks, files, offsets
    remedy : what a person can do about it
    """

    where: str
    ids: tuple[str, ...]
    remedy: str


class OutsideCopies(Protocol):
    """Finds copies of frames in one system outside."""

    async def of(self, frame_ids: Collection[FrameId]) -> Sequence[OutsideCopy]:
        """The copies of these frames; a system that does not answer is named as one.

        Raises
        ------
        Transient
            A part of Gazeloop itself does not answer.
        """
        ...


class CountedTraces(Protocol):
    """What one place holds about frames."""

    @property
    def name(self) -> str:
        """What is counted, in the plural."""
        ...

    async def count(self, frame_ids: Collection[FrameId]) -> int:
        """The number of records about these frames.

        Raises
        ------
        Transient
            The place does not answer; this holds for every method.
        """
        ...


class FrameTraces(CountedTraces, Protocol):
    """What one place holds about frames, and can erase. Erasing is idempotent."""

    async def erase(self, frame_ids: Collection[FrameId]) -> None:
        """Delete all of them, durably; a call that was interrupted may be repeated."""
        ...
