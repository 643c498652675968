"""Reads a curve's detections back from its blocks, in order."""

import numpy as np

from services.domain.arrays import AnyArray
from services.domain.compiled import compiled
from services.domain.metrics.index_layout import COUNTED, Index

_ONE = np.uint64(1)
_TEN = 10


@compiled
def detections(
    index: Index, curve: int
) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray, AnyArray]:  # pragma: no cover
    """Frame, part, and settings of area 0 of a curve's detections, in order.

    Returns
    -------
    frame : (D,) int32
    part : (D,) uint8
    positive, counted : (D,) uint16, threshold t as bit t
    score : (D,) float32
    """
    blocks = index.order[index.begins[curve] : index.begins[curve + 1]]
    total = 0
    for block in blocks:
        total += index.sizes[block]
    frame, part = np.empty(total, np.int32), np.empty(total, np.uint8)
    positive, counted = np.empty(total, np.uint16), np.empty(total, np.uint16)
    score = np.empty(total, np.float32)
    d = 0
    for block in blocks:
        planes = index.planes[block]
        for k in range(index.sizes[block]):
            row = index.block_row[block, k]
            frame[d], part[d] = index.row_frame[row], index.rows[row]["part"]
            score[d] = index.block_score[block, k]
            right = counts = np.uint64(0)
            for t in range(_TEN):
                bit = np.uint64(k & 63)
                right |= (planes[k >> 6, t] >> bit & _ONE) << np.uint64(t)
                counts |= (planes[k >> 6, COUNTED + t] >> bit & _ONE) << np.uint64(t)
            positive[d], counted[d] = right, counts
            d += 1
    return frame, part, positive, counted, score
