"""What is older than the settings let it be kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.identity import DriveId, FrameId, ModelId


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
        """Some frames without ground truth that were stored before a time, oldest first.

        Those whose ground truth was withdrawn after that time are left out: an archive that was
        written until then has not got them.

        Parameters
        ----------
        after : where the last call ended; empty at the beginning

        Returns
        -------
        The frames, and where this call ended; empty once there are no more.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def count_old_frames(self, before: datetime) -> int:
        """The number of frames without ground truth that were stored before a time."""
        ...

    async def old_images(
        self, before: datetime, after: str, limit: int
    ) -> tuple[Sequence[FrameId], str]:
        """Some annotated frames, stored before a time, whose images nobody needs any more.

        Frames with active needles are left out. The rest is as for `old_frames`.
        """
        ...

    async def count_old_images(self, before: datetime) -> int:
        """The number of annotated frames with an image that were stored before a time."""
        ...

    async def images_only_of(self, frame_ids: Collection[FrameId]) -> Sequence[str]:
        """The URIs of the images that these frames show, and no other frame that has its image."""
        ...

    async def note_images_deleted(self, frame_ids: Collection[FrameId]) -> None:
        """Note that these frames have no images any more."""
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

    async def drop_imports(self, before: datetime, limit: int) -> int:
        """Forget runs from before a time, so that they cannot be undone.

        Those whose undo is not finished stay. A run goes after the last of its items.

        Parameters
        ----------
        limit : most items; their number is returned
        """
        ...

    async def note_replaced(self, models: Collection[ModelId], now: datetime) -> None:
        """Note that these models, and no others, have vectors and are not live any more."""
        ...

    async def replaced(self) -> Mapping[ModelId, datetime]:
        """The noted models, and since when each has been noted."""
        ...

    async def drop_figures(self, before: datetime, limit: int) -> int:
        """Delete rows of figures from before a time, but each detector's last; their number."""
        ...
