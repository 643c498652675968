"""What is older than the settings let it be kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.identity import DriveId, FrameId


@dataclass(frozen=True)
class OldFrame:
    """A stored frame without ground truth.

    Attributes
    ----------
    listed : whether any shortlist ever had it
    """

    frame_id: FrameId
    drive_id: DriveId | None
    listed: bool


class RetentionStore(Protocol):
    """Old records. Deleting is idempotent."""

    async def old_frames(
        self, before: datetime, after: str, limit: int
    ) -> tuple[Sequence[OldFrame], str]:
        """Some frames without ground truth that were stored before a time, in the order of ids.

        Parameters
        ----------
        after : the last id that was read; empty at the beginning

        Returns
        -------
        The frames, and the last one's id; empty once there are no more.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def count_old_frames(self, before: datetime) -> int:
        """The number of frames without ground truth that were stored before a time."""
        ...

    async def archived_before(self) -> datetime | None:
        """The time before which stored frames that were cold are in an archive."""
        ...

    async def note_archived(self, before: datetime) -> None:
        """Note that an archive has the cold frames that were stored before a time."""
        ...

    async def drop_decisions(self, before: datetime, limit: int) -> int:
        """Delete the decisions about retracted needles whose last one is from before a time.

        Parameters
        ----------
        limit : most needles; the number of decisions is returned
        """
        ...

    async def drop_figures(self, before: datetime, limit: int) -> int:
        """Delete rows of figures from before a time, but each detector's last; their number."""
        ...
