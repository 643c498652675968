"""Which frames are searched for needles and which are the haystack, for ever and everywhere."""

import hashlib

from services.contracts.events import Split
from services.contracts.identity import DriveId, FrameId


def split_of(
    frame_id: FrameId,
    drive_id: DriveId | None,
    *,
    reference_share: float,
    seed: int,
    by_frame: bool = False,
) -> Split:
    """The split of a frame: by its drive, so that near-duplicates never straddle the split.

    Parameters
    ----------
    drive_id : without one, the frame's own id decides
    reference_share : share of drives in the reference, between 0 and 1
    seed : another seed is another split
    by_frame : let each frame's own id decide, whatever its drive
    """
    unit = frame_id if by_frame or drive_id is None else drive_id
    digest = hashlib.sha256(f"{seed}:{unit}".encode()).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    return Split.REFERENCE if place < reference_share else Split.HAYSTACK
