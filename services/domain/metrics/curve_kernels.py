# ruff: noqa: PLR0917  # Numba compiles functions of arrays, called by position
"""Precision-recall curves: their points in blocks, and COCO's numbers; see `match_index`."""

import numpy as np

from services.domain.arrays import BitsArray, CountArray, FloatArray, IntArray
from services.domain.compiled import compiled
from services.domain.detection.coco import BITS, RECALLS
from services.domain.metrics.index_layout import (
    BEST,
    COUNTED,
    DETECTIONS,
    OVERLAP,
    OVERLAPS,
    PART,
    RIGHTS,
    ROWS,
    TRUTHS,
    WINDOW,
    WORDS,
    Index,
)
from services.domain.metrics.plane_kernels import ones, signed
from services.domain.statistics.envelope_kernels import envelope, needs_of

_FEW = 1024
"""True positives up to which reading all is faster than finding those that decide."""
_ONE = np.uint64(1)
_NONE = np.uint64(0)


@compiled
def _kept(
    planes: BitsArray, parts: int, window: int, keep: BitsArray
) -> np.uint64:  # pragma: no cover
    """(WORDS,) out, a block's detections in the parts and the window; returns whether any is."""
    any_kept = _NONE
    for w in range(WORDS):
        word = _NONE
        for p in range(3):
            if parts >> p & 1:
                word |= planes[w, PART + p]
        keep[w] = word if window < 0 else word & planes[w, WINDOW + window]
        any_kept |= keep[w]
    return any_kept


@compiled
def _count_blocks(
    index: Index,
    blocks: IntArray,
    parts: int,
    window: int,
    keep: BitsArray,
    hits: CountArray,
    seen: CountArray,
) -> tuple[int, int]:  # pragma: no cover
    """Count true positives and detections down to each block, in all settings.

    Parameters
    ----------
    keep : (B, WORDS) out, see `_kept`
    hits, seen : (40, B + 1) out, before each block, and in the last column of all blocks

    Returns
    -------
    True positives of area 0 within each frame's best detection, and within its best ten.
    """
    best = ten = 0
    counts = np.zeros(PART, np.int64)  # true positives of all settings, then detections
    hits[:, 0] = 0
    seen[:, 0] = 0
    for b in range(blocks.size):
        planes = index.planes[blocks[b]]
        if _kept(planes, parts, window, keep[b]):
            for w in range(WORDS):
                words, kept = planes[w], keep[b, w]
                for p in range(PART):
                    counts[p] += ones(words[p] & kept)
                firsts, tens = words[BEST] & kept, words[BEST + 1] & kept
                for s in range(10):
                    best += ones(words[s] & firsts)
                    ten += ones(words[s] & tens)
        for s in range(BITS):
            hits[s, b + 1] = counts[s]
            seen[s, b + 1] = counts[COUNTED + s]
    return best, ten


@compiled
def _first_reaching(hits: CountArray, need: int, end: int) -> int:  # pragma: no cover
    """The block of the `need`-th true positive, which is before block `end`."""
    low, high = 0, end - 1
    while low < high:
        middle = (low + high) >> 1
        if hits[middle + 1] >= need:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def _best_in_word(
    right: np.uint64, counted: np.uint64, hits: int, seen: int, least: int, most: int, best: float
) -> tuple[float, int, int]:  # pragma: no cover
    """The point of highest precision above `best` in a word, or no true positives.

    Parameters
    ----------
    hits, seen : before the word
    least, most : only points with so many true positives
    """
    top_hits = top_seen = 0
    while right and hits < most:
        lowest = right & (~right + _ONE)
        right ^= lowest
        hits += 1
        if hits >= least:
            at = seen + ones(counted & (lowest | (lowest - _ONE)))
            if hits / at > best:
                best, top_hits, top_seen = hits / at, hits, at
    return best, top_hits, top_seen


@compiled
def _best_in_block(
    planes: BitsArray,
    setting: int,
    keep: BitsArray,
    hits: int,
    seen: int,
    least: int,
    most: int,
    best: float,
) -> tuple[float, int, int]:  # pragma: no cover
    """Like `_best_in_word`, for a block."""
    top_hits = top_seen = 0
    for w in range(WORDS):
        right = planes[w, setting] & keep[w]
        counted = planes[w, COUNTED + setting] & keep[w]
        rights = ones(right)
        end = min(hits + rights, most)
        if end >= least and rights and end / (seen + end - hits) > best:
            best, word_hits, word_seen = _best_in_word(
                right, counted, hits, seen, least, most, best
            )
            if word_hits:
                top_hits, top_seen = word_hits, word_seen
        hits += rights
        seen += ones(counted)
        if hits >= most:
            break
    return best, top_hits, top_seen


@compiled
def _points(
    index: Index,
    blocks: IntArray,
    setting: int,
    keep: BitsArray,
    hits: CountArray,
    seen: CountArray,
    needs: IntArray,
    points: IntArray,
) -> int:  # pragma: no cover
    """Find the points that decide the envelope: at most one from each recall to the next.

    A point counts only if its precision is above that of all points beyond it. At a block's, or a
    word's, last true positive precision is at most what it would be if only true positives came
    before it there, which bounds all its points: those that cannot be above are not read.

    Parameters
    ----------
    hits, seen : (B + 1,) before each block
    points : (2, 101) out, true positives and detections of each point, the last one first

    Returns
    -------
    The number of points.
    """
    best, count = 0.0, 0
    most = signed(hits[blocks.size])
    end = blocks.size
    for r in range(RECALLS.size - 1, -1, -1):
        least = needs[r]
        if least > most:
            continue
        first = _first_reaching(hits, least, end)
        top_hits = top_seen = 0
        for b in range(first, end):
            before, down_to = signed(hits[b]), signed(seen[b])
            last = min(signed(hits[b + 1]), most)
            if last > before and last / (down_to + last - before) > best:
                best, block_hits, block_seen = _best_in_block(
                    index.planes[blocks[b]], setting, keep[b], before, down_to, least, most, best
                )
                if block_hits:
                    top_hits, top_seen = block_hits, block_seen
        if top_hits:
            points[0, count], points[1, count] = top_hits, top_seen
            count += 1
        most = least - 1
        end = first + 1
    return count


@compiled
def _every_point(
    index: Index, blocks: IntArray, setting: int, keep: BitsArray, seen: IntArray
) -> IntArray:  # pragma: no cover
    """The number of detections down to each true positive; `seen` is filled and returned."""
    hits = before = 0
    for b in range(blocks.size):
        planes = index.planes[blocks[b]]
        for w in range(WORDS):
            right = planes[w, setting] & keep[b, w]
            counted = planes[w, COUNTED + setting] & keep[b, w]
            while right:
                lowest = right & (~right + _ONE)
                right ^= lowest
                seen[hits] = before + ones(counted & (lowest | (lowest - _ONE)))
                hits += 1
            before += ones(counted)
    return seen


@compiled
def _precision(
    index: Index,
    blocks: IntArray,
    setting: int,
    keep: BitsArray,
    hits: CountArray,
    seen: CountArray,
    needs: IntArray,
) -> float:  # pragma: no cover
    """Precision averaged over the 101 recalls, in one setting."""
    decides = np.empty(RECALLS.size, np.int64)
    total = signed(hits[blocks.size])
    if total <= _FEW:
        every = _every_point(index, blocks, setting, keep, np.empty(total, np.int64))
        return envelope(needs, np.arange(1, total + 1), every, decides)
    points = np.empty((2, RECALLS.size), np.int64)
    count = _points(index, blocks, setting, keep, hits, seen, needs, points)
    ascending = points[:, :count][:, ::-1]
    return envelope(needs, ascending[0], ascending[1], decides)


@compiled
def _numbers(
    index: Index, curve: int, parts: int, window: int, truths: IntArray, numbers: FloatArray
) -> None:  # pragma: no cover
    """Compute COCO's numbers of one category."""
    blocks = index.order[index.begins[curve] : index.begins[curve + 1]].astype(np.int64)
    keep = np.empty((blocks.size, WORDS), np.uint64)
    hits = np.empty((BITS, blocks.size + 1), np.uint32)
    seen = np.empty((BITS, blocks.size + 1), np.uint32)
    best, ten = _count_blocks(index, blocks, parts, window, keep, hits, seen)
    numbers[:] = np.nan
    for a in range(4):
        if truths[a]:
            total, found = 0.0, 0
            needs = needs_of(truths[a])
            for s in range(10 * a, 10 * a + 10):
                mean = _precision(index, blocks, s, keep, hits[s], seen[s], needs)
                total += mean
                found += signed(hits[s, blocks.size])
                if s in (0, 5):
                    numbers[1 + s // 5] = mean
            numbers[2 + a if a else 0] = total / 10
            numbers[8 + a] = found / (10 * truths[a])
    if truths[0]:
        numbers[6] = best / (10 * truths[0])
        numbers[7] = ten / (10 * truths[0])


@compiled
def figures(
    index: Index,
    curves: IntArray,
    parts: int,
    window: int,
    numbers: FloatArray,
    shown: FloatArray,
    counts: IntArray,
) -> None:  # pragma: no cover
    """Compute the figures of these curves on the rows within these parts and a window.

    Parameters
    ----------
    parts, window : see `View`
    numbers : (C, 12) out, by curve: COCO's numbers, NaN where there is no ground truth
    shown : (C, 8) out, from the operating score on: true positives, false positives, the former's
        overlaps' sum, and false positives by type
    counts : (C, 3) out, detections, rows, and ground truths that count
    """
    for k in curves:
        totals = np.zeros(index.totals.shape[3], np.int64)
        for part in range(3):
            for windows in range(8):
                if parts >> part & 1 and (window < 0 or windows >> window & 1):
                    totals += index.totals[k, part, windows]
        truths = totals[TRUTHS : TRUTHS + 4]
        _numbers(index, k, parts, window, truths, numbers[k])
        shown[k] = totals[RIGHTS:]
        shown[k, OVERLAPS - RIGHTS] /= OVERLAP
        counts[k, 0], counts[k, 1], counts[k, 2] = totals[DETECTIONS], totals[ROWS], truths[0]
