"""The split of frames into reference and haystack: one rule for all services."""

import hashlib
from dataclasses import dataclass

from services.contracts.events import Split
from services.contracts.identity import DriveId, FrameId


@dataclass(frozen=True)
class SplitRule:
    """Splits frames by a stable hash of their drive, so that near-duplicates stay together.

    Parameters
    ----------
    reference_share : share of drives in the reference, between 0 and 1
    seed : another seed gives another split
    by_frame : hash the frame id instead of the drive
    """

    reference_share: float
    seed: int = 0
    by_frame: bool = False

    def split_of(self, frame_id: FrameId, drive_id: DriveId | None) -> Split:
        """The split of a frame; a frame without a drive is hashed by its own id."""
        unit = frame_id if self.by_frame or drive_id is None else drive_id
        digest = hashlib.sha256(f"{self.seed}:{unit}".encode()).digest()
        place = int.from_bytes(digest[:8]) / 2**64
        return Split.REFERENCE if place < self.reference_share else Split.HAYSTACK
