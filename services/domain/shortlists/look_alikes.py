"""Near-duplicates among frames without a drive, which times and positions cannot reveal.

Two frames show the same scene if their vectors are much closer than those of unrelated frames:
their distance is at most a tenth of the usual one, 1 less the cosine. How close unrelated frames
are depends on the embedding model, so the usual distance is the median to some other frames.
Measured on 230 street photos with the default model: bursts (moved, brighter, with noise) have .06
of the usual distance or less, other photos .20 or more.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from services.contracts.identity import FrameId
from services.domain.arrays import Vector, Vectors
from services.domain.mining.ranking import cosines
from services.domain.statistics.growing_rows import GrowingRows

_SHARE: Final = 0.1


def look_alikes(
    new: Sequence[FrameId],
    listed: Sequence[FrameId],
    others: Vectors,
    vectors: Mapping[FrameId, Vector],
) -> set[FrameId]:
    """Those of the new frames that show the same scene as a listed or an earlier new one.

    Parameters
    ----------
    new : best first
    others : (M, D), unit length, of unrelated frames; without any, nothing is alike
    vectors : unit length; a frame without one is like no other
    """
    known = [frame for frame in new if frame in vectors]
    if not known or not len(others):
        return set()
    rows = np.stack([vectors[frame] for frame in known])
    usual = 1 - float(np.median(cosines(rows, others)))
    accepted = GrowingRows(np.float64)
    for frame in listed:
        if frame in vectors:
            accepted.add(vectors[frame])
    found = set()
    for frame, row in zip(known, rows.astype(np.float64), strict=True):
        nearest = (accepted.rows @ row).max() if len(accepted) else -1.0
        if 1 - nearest <= _SHARE * usual:
            found.add(frame)
        else:
            accepted.add(row)
    return found
