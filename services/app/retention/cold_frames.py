"""Which stored frames are cold: what retention erases, and what an archive has of them."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.contracts.events import Split
from services.contracts.identity import FrameId
from services.domain.ports.retention import OldFrame, RetentionStore
from services.domain.splits import SplitRule


def cold(frames: Sequence[OldFrame], rule: SplitRule) -> list[FrameId]:
    """Those of these frames that are in the haystack, and that no shortlist ever had."""
    return [
        frame.frame_id
        for frame in frames
        if not frame.listed and rule.split_of(frame.frame_id, frame.drive_id) is Split.HAYSTACK
    ]


@dataclass(frozen=True)
class Cutoff:
    """The time before which cold frames may be erased.

    Parameters
    ----------
    waits : whether frames are kept until an archive has them
    """

    store: RetentionStore
    days: float
    waits: bool

    async def at(self, now: datetime) -> datetime | None:
        """The time; None if no frame may be erased.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        if not self.days:
            return None
        due = now - timedelta(days=self.days)
        if not self.waits:
            return due
        archived = await self.store.archived_before()
        return None if archived is None else min(due, archived)


async def all_cold(
    store: RetentionStore, rule: SplitRule, before: datetime, at_once: int
) -> AsyncIterator[list[FrameId]]:
    """All cold frames that were stored before a time, in pages.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    after = ""
    while True:
        found, after = await store.old_frames(before, after, at_once)
        if not after:
            return
        yield cold(found, rule)
