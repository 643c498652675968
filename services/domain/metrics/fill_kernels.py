# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Fills the blocks of new curves by sorting all their detections; see `match_index`."""

import numpy as np

from services.domain.arrays import AnyArray, BitsArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.detection.match_kernels import best_first
from services.domain.metrics import block_kernels, plane_kernels
from services.domain.metrics.index_layout import COUNTED, FILLED, PART, Index


@compiled
def reserve(index: Index, curves: IntArray, detections: IntArray) -> None:  # pragma: no cover
    """Open the blocks of new curves, which are spare.

    Parameters
    ----------
    detections : the number of each curve's detections
    """
    for c in range(curves.size):
        curve = curves[c]
        count = -(-detections[c] // FILLED)
        block_kernels.open_blocks(index, curve, index.begins[curve], count)


@compiled
def fill(
    index: Index,
    curve: int,
    rows: tuple[int, int],
    scores: FloatArray,
    positive: BitsArray,
    counted: BitsArray,
) -> None:  # pragma: no cover
    """Fill the blocks of a curve that `reserve` opened.

    Parameters
    ----------
    rows : first and end of the curve's rows, which are in the order of their frames, and whose
        detections follow one another
    scores : (D,) float64, of these detections
    positive, counted : (D,) uint64, their words
    """
    base = index.rows[rows[0]]["start"]
    order = np.empty(positive.size, np.int64)
    # Stable, so equal scores stay in the order of their frames, and of their places on them.
    best_first(scores, order)
    row_of = np.empty(positive.size, np.int32)
    for row in range(rows[0], rows[1]):
        start = index.rows[row]["start"] - base
        row_of[start : start + index.rows[row]["size"]] = row
    for first in range(0, positive.size, FILLED):
        at = index.begins[curve] + first // FILLED
        detections = order[first : first + FILLED]
        block = index.order[at]
        index.block_score[block, : detections.size] = scores[detections]
        _fill_block(index, block, detections, row_of, positive, counted)
        block_kernels.set_key(index, at)


@compiled
def _fill_block(
    index: Index,
    block: int,
    detections: IntArray,
    row_of: AnyArray,
    positive: BitsArray,
    counted: BitsArray,
) -> None:  # pragma: no cover
    """Fill a block with these detections, which are in order."""
    base = index.rows[row_of[0]]["start"]
    index.sizes[block] = detections.size
    squares = np.zeros((3, 64), np.uint64)
    for k in range(detections.size):
        d = detections[k]
        row = row_of[d]
        place = base + d - index.rows[row]["start"]
        index.block_row[block, k] = row
        index.block_place[block, k] = place
        index.block_of[base + d] = block
        squares[0, k & 63] = positive[d]
        squares[1, k & 63] = counted[d]
        squares[2, k & 63] = plane_kernels.belongs(
            index.rows[row]["part"], index.rows[row]["windows"], place
        )
        if k & 63 == 63 or k == detections.size - 1:  # noqa: PLR2004  # a word is full
            plane_kernels.fill(index.planes[block], k >> 6, 0, squares[0])
            plane_kernels.fill(index.planes[block], k >> 6, COUNTED, squares[1])
            plane_kernels.fill(index.planes[block], k >> 6, PART, squares[2])
            squares[:] = 0
