"""Every detector's and category's matches, so that a change costs the same at any size.

A curve is one detector and category. Of each curve, the index keeps the latest match of every
frame, and all detections in COCO's order: by descending score, then by frame, then by their place
on the frame. It answers, for any subset of the frames and any time window, what pycocotools
computes from scratch on the same frames.

**Blocks.** A curve's detections lie in blocks of at most 512. Within a block, bits are stored by
property and not by detection: a plane is 512 bits, one cache line, of which bit i is about the i-th
detection (a bit-sliced index: O'Neil and Quass, SIGMOD 1997). There are 40 planes of true
positives, one for each setting (ten IoU thresholds in four area ranges), 40 of detections that are
not ignored, and 8 that say which part of the frames and which windows a detection belongs to, and
whether it is among the best of its frame. A subset within a window is a mask: the union of part
planes, intersected with a window's plane. So true positives and detections of a block, in any
setting, subset and window, are eight population counts each, and no subset or window needs a copy.

**Changes.** A match is found by a hash of its curve and frame. Its scores are stored with it, so
each of its detections is found by two binary searches: among the first detections of the curve's
blocks, then within a block. Inserting or removing it shifts one block's planes by a bit. A full
block splits into two halves. So a change touches one block, and the order of blocks, an array of a
few bytes per block. A match that enters or leaves a time window is found by its chunk of rows,
which knows when the next of them does.

**Totals.** Counts of frames, detections, ground truths and errors are sums over matches. They are
kept per part and set of windows, as integers, and added up when they are asked for.

**Curves.** Precision after k true positives is k divided by the number of detections down to there.
At each of 101 recalls, COCO takes the largest precision from there on. The k that reaches a recall
is an integer, computed once per number of ground truths (`curve_kernels.needs_of`). The sweep goes
from the last recall to the first, and keeps the largest precision so far. Between two recalls it
looks at the blocks from left to right, and reads a block only if it can matter: before it, there
are h true positives among s detections, and it has t more, so no precision in it is above
(h + t) / (s + t). That bound holds for each of its points, because (h + x) / (s + x) does not
decrease in x where h <= s. Within a block, the same bound is applied to each word of 64 detections.

**Exactness.** All counts are integers. A bound and a precision are each one division of integers,
and IEEE division rounds monotonically: if one quotient is at most another, so are the rounded ones.
Hence a block that is skipped cannot hold a larger floating-point precision either, and the result
is that of a plain pass, bit for bit.

**Cost.** Counting is a pass over the planes, 64 detections per operation, and over at most
40 settings; the sweep reads some two blocks per recall and setting on curves whose precision falls,
and on any curve at most all of them. Upper convex hulls of each block's points would make the bound
tight (a tangent to a hull); finding a tangent takes as long as counting a block's bits, and hulls
must be stored and built again after each change, so they were not worth their code.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from services.domain.detection.coco import METRICS, BoolArray, FloatArray, IntArray
from services.domain.metrics.index_layout import (
    BLOCK,
    CHUNK,
    CURVES,
    EARLIEST,
    FILLED,
    LATEST,
    PLANES,
    ROW,
    SPARE_BLOCKS,
    TOTALS,
    USED_PLACES,
    USED_ROWS,
    WINDOWS,
    WORDS,
    Array,
    Batch,
    Criteria,
    Index,
    View,
)
from services.domain.metrics.match_columns import detections_of
from services.domain.statistics.resampling import Sample

_CORES: Final = len(os.sched_getaffinity(0))
_THREADS: Final = ThreadPoolExecutor(_CORES, thread_name_prefix="index")
_FEW: Final = 8
_GROWTH: Final = 1.25
"""New arrays are larger by this: memory is used only where it is written to."""
_SPARE: Final = 256
"""Fewest spare blocks before matches are added: more than one match can need."""
_SORTED: Final = 128
"""New curves with at least so many detections are filled by sorting."""


class MatchIndex:
    """The matches of all curves, by number, and their figures.

    Parameters
    ----------
    lengths : (W,) int64, lengths of the time windows in microseconds, at most three
    score : the operating score
    """

    def __init__(self, lengths: IntArray, score: float) -> None:
        from services.domain.metrics import (  # noqa: PLC0415  # see compiled.py
            curve_kernels,
            fill_kernels,
            index_kernels,
            sample_kernels,
        )

        if lengths.size > WINDOWS:
            raise ValueError(f"more than {WINDOWS} time windows")
        self._kernels, self._fill = index_kernels, fill_kernels
        self._curves, self._samples = curve_kernels, sample_kernels
        self._lengths = lengths
        self._score = score
        self._until = EARLIEST
        self._index = _empty()

    def __len__(self) -> int:
        return int(self._index.used[CURVES])

    @property
    def latest(self) -> int:
        """The latest capture time, in microseconds since the epoch; `EARLIEST` without matches."""
        chunks = -(-int(self._index.used[USED_ROWS]) // CHUNK)
        return int(self._index.latest[:chunks].max(initial=EARLIEST))

    @property
    def nbytes(self) -> int:
        """Bytes in use, in all arrays."""
        index = self._index
        rows, places, spare, curves = index.used.tolist()
        blocks = index.spare.size - spare
        of_curves = (index.totals, index.begins, index.detector)
        columns = (index.block_score, index.block_row, index.block_place)
        of_blocks = (index.planes, *columns, index.sizes)
        of_order = (index.order, index.spare, index.key_score, index.key_frame, index.key_place)
        return int(
            sum(_bytes_of(array, curves) for array in of_curves)
            + sum(_bytes_of(array, blocks) for array in (*of_blocks, *of_order))
            + sum(_bytes_of(array, places) for array in (index.scores, index.marks))
            + _bytes_of(index.rows, rows)
            + index.slots.nbytes
            + index.seen.nbytes
        )

    def append(self, detector: int) -> int:
        """Add an empty curve of a detector; returns its number."""
        curve = len(self)
        self._reserve(curves=curve + 1, detectors=detector + 1)
        index = self._index
        index.used[CURVES] = curve + 1
        index.begins[curve + 1] = index.begins[curve]
        index.detector[curve] = detector
        return curve

    def add(self, batch: Batch, ranks: IntArray) -> IntArray:
        """Add matches; of each curve and frame, the one with the highest revision is kept.

        Parameters
        ----------
        batch : in any order
        ranks : (F,) int64, the rank of every frame number

        Returns
        -------
        (C,) int64, what changed in each curve, see `View.changes`.
        """
        changed = np.zeros(len(self), np.int64)
        if self._until == EARLIEST and batch.captured.size:
            # Where windows most probably end, so that few of the matches change theirs soon.
            self._until = int(batch.captured.max())
        self._reserve(
            rows=int(self._index.used[USED_ROWS]) + batch.curve.size,
            places=int(self._index.used[USED_PLACES]) + batch.scores.size,
            frames=ranks.size,
        )
        criteria = self._criteria(ranks)
        new = self._new_curves(batch)
        if new.any():
            mask = new[batch.curve]
            self._append(_latest(taken(batch, np.flatnonzero(mask)), ranks), criteria, changed)
            batch = taken(batch, np.flatnonzero(~mask))
        done = 0
        while done < batch.curve.size:
            self._reserve(blocks=_SPARE + batch.scores.size // BLOCK)
            done = self._kernels.add(self._index, batch, done, criteria, changed)
        return changed

    def slide(self, until: int, ranks: IntArray) -> IntArray:
        """Move the end of all windows; returns what changed, as `add` does."""
        changed = np.zeros(len(self), np.int64)
        if until != self._until:
            before, self._until = self._until, until
            self._kernels.slide(self._index, self._criteria(ranks), before, changed)
        return changed

    def figures(self, curves: IntArray, view: View) -> tuple[FloatArray, FloatArray, IntArray]:
        """Figures of these curves.

        Returns
        -------
        numbers, shown, counts : (C, 12), (C, 8) and (C, 3) by curve, see `curve_kernels.figures`;
            those of other curves are not set
        """
        out = (
            np.empty((len(self), len(METRICS))),
            np.empty((len(self), 8)),
            np.empty((len(self), 3), np.int64),
        )
        _by_all_cores(
            curves,
            lambda some: self._curves.figures(self._index, some, view.parts, view.window, *out),
        )
        return out

    def frame_count(self, detector: int, parts: int) -> int:
        """The number of frames that have a match of a detector in these parts."""
        return int(sum(self._index.seen_in[detector, k] for k in range(8) if k & parts))

    def samples(self, curves: Sequence[int]) -> list[Sample]:
        """The contents of these curves, copied."""
        rows = self._index.rows[: self._index.used[USED_ROWS]]
        order = np.argsort(rows["curve"], kind="stable")
        bounds = np.searchsorted(rows["curve"][order], np.arange(len(self) + 1))
        frame, part = rows["frame"][order], rows["part"][order]
        truths = rows["truths"][order, 0].astype(np.int64)
        samples = []
        for curve in curves:
            of = slice(bounds[curve], bounds[curve + 1])
            detections = self._samples.detections(self._index, curve)
            samples.append(Sample(frame[of], part[of], truths[of], *detections))
        return samples

    def _criteria(self, ranks: IntArray) -> Criteria:
        return Criteria(ranks, self._lengths, self._until, self._score)

    def _new_curves(self, batch: Batch) -> BoolArray:
        """(C,) bool, the curves without rows of which a batch has many detections."""
        found = np.zeros(len(self), np.int64)
        if batch.scores.size >= _SORTED:
            np.add.at(found, batch.curve, np.diff(batch.starts))
        rows = self._index.totals[: len(self), :, :, 0].sum((1, 2))
        new: BoolArray = (found >= _SORTED) & (rows == 0)
        return new

    def _append(self, batch: Batch, criteria: Criteria, changed: IntArray) -> None:
        """Add the matches of new curves, sorted by curve and rank, one match of each."""
        curves, firsts = np.unique(batch.curve, return_index=True)
        bounds = np.append(firsts, batch.curve.size)
        detections = np.diff(batch.starts[bounds])
        self._reserve(blocks=int((-(-detections // FILLED)).sum()))
        row = int(self._index.used[USED_ROWS])
        self._kernels.append(self._index, batch, criteria, changed)
        self._fill.reserve(self._index, curves, detections)

        def fill(some: IntArray) -> None:
            for c in some.tolist():
                rows = (row + int(bounds[c]), row + int(bounds[c + 1]))
                part = slice(batch.starts[bounds[c]], batch.starts[bounds[c + 1]])
                words = (batch.positive[part], batch.counted[part])
                self._fill.fill(self._index, int(curves[c]), rows, *words)

        _by_all_cores(np.arange(curves.size), fill)

    def _reserve(
        self,
        *,
        rows: int = 0,
        places: int = 0,
        blocks: int = 0,
        curves: int = 0,
        frames: int = 0,
        detectors: int = 0,
    ) -> None:
        """Make room for so many rows, places, curves, frames and detectors, and spare blocks."""
        index = self._index
        if rows > index.rows.size:
            self._grow_rows(rows)
        if 3 * rows > 2 * index.slots.size:  # a third stays empty, so that searches stay short
            slots = 1 << (3 * rows // 2).bit_length()
            self._replace(slots=np.full(slots, -1, np.int32))
            self._kernels.rehash(self._index)
        if places > index.scores.size:
            self._replace(scores=_grown(index.scores, places), marks=_grown(index.marks, places))
        if blocks > index.used[SPARE_BLOCKS]:
            self._grow_blocks(blocks)
        if curves >= index.begins.size:
            names = ("begins", "totals", "detector")
            self._replace(**{n: _grown(getattr(index, n), curves + 1) for n in names})
        if frames > index.seen.shape[1]:
            seen = _grown(np.swapaxes(index.seen, 0, 1), frames)
            self._replace(seen=np.ascontiguousarray(np.swapaxes(seen, 0, 1)))
        if detectors > index.seen.shape[0]:
            self._replace(
                seen=_grown(self._index.seen, detectors),
                seen_in=_grown(index.seen_in, detectors),
            )

    def _grow_rows(self, rows: int) -> None:
        index = self._index
        held = _grown(index.rows, rows)
        chunks = -(-held.size // CHUNK)
        self._replace(
            rows=held,
            due=_grown(index.due, chunks, LATEST),
            latest=_grown(index.latest, chunks, EARLIEST),
        )

    def _grow_blocks(self, spare: int) -> None:
        index = self._index
        had, stacked = index.spare.size, int(index.used[SPARE_BLOCKS])
        names = ("planes", "block_score", "block_row", "block_place", "sizes", "spare", "order")
        keys = ("key_score", "key_frame", "key_place")
        grown = {n: _grown(getattr(index, n), had - stacked + spare) for n in (*names, *keys)}
        self._replace(**grown)
        blocks = self._index.spare.size
        # The lowest number is on top, so that blocks are used in the order of memory.
        self._index.spare[stacked : stacked + blocks - had] = np.arange(blocks - 1, had - 1, -1)
        self._index.used[SPARE_BLOCKS] += blocks - had

    def _replace(self, **arrays: Array) -> None:
        self._index = self._index._replace(**arrays)


def taken(batch: Batch, order: IntArray) -> Batch:
    """Some matches of a batch, in this order."""
    starts, d = detections_of(batch.starts, order)
    return Batch(
        *(batch.curve[order], batch.frame[order], batch.part[order]),
        *(batch.captured[order], batch.revision[order], batch.truths[order]),
        starts,
        batch.scores[d],
        batch.marks[d],
        batch.positive[d],
        batch.counted[d],
    )


def _latest(batch: Batch, ranks: IntArray) -> Batch:
    """The latest match of each curve and frame, by curve and frame rank."""
    rank = ranks[batch.frame]
    sorted_by = batch.curve[1:] - batch.curve[:-1], rank[1:] - rank[:-1]
    if ((sorted_by[0] > 0) | ((sorted_by[0] == 0) & (sorted_by[1] > 0))).all():
        return batch
    order = np.lexsort((-batch.revision, rank, batch.curve))
    curve, rank = batch.curve[order], rank[order]
    first = np.ones(order.size, np.bool_)
    first[1:] = (curve[1:] != curve[:-1]) | (rank[1:] != rank[:-1])
    return taken(batch, order[first])


def _empty() -> Index:
    """An index without any room."""

    def zeros(*shape: int, dtype: Any = np.int64) -> Array:
        return np.zeros(shape, dtype)

    return Index(
        rows=zeros(0, dtype=ROW),
        slots=np.full(16, -1, np.int32),
        scores=zeros(0, dtype=np.float64),
        marks=zeros(0, dtype=np.uint32),
        freed=np.full(256, -1, np.int64),
        planes=zeros(0, PLANES, WORDS, dtype=np.uint64),
        block_score=zeros(0, BLOCK, dtype=np.float32),
        block_row=zeros(0, BLOCK, dtype=np.int32),
        block_place=zeros(0, BLOCK, dtype=np.uint8),
        sizes=zeros(0),
        spare=zeros(0, dtype=np.int32),
        order=zeros(0, dtype=np.int32),
        key_score=zeros(0, dtype=np.float64),
        key_frame=zeros(0, dtype=np.int32),
        key_place=zeros(0, dtype=np.uint8),
        begins=zeros(1),
        totals=zeros(0, 3, 1 << WINDOWS, TOTALS),
        due=zeros(0),
        latest=zeros(0),
        detector=zeros(0),
        seen=zeros(0, 0, 3, dtype=np.uint16),
        seen_in=zeros(0, 8),
        used=zeros(4),
    )


def _grown(array: Array, size: int, value: int = 0) -> Array:
    """A copy with room for more than this size; what is new has this value."""
    size = int(_GROWTH * size) + 1
    new = np.zeros((size, *array.shape[1:]), array.dtype)  # memory of zeros is not touched yet
    new[: len(array)] = array
    if value:
        new[len(array) :] = value
    return new


def _bytes_of(array: Array, used: int) -> int:
    """Bytes of the used part of an array."""
    return used * array.itemsize * int(np.prod(array.shape[1:]))


def _by_all_cores(items: IntArray, work: Callable[[IntArray], None]) -> None:
    """Split the items over threads; `work` releases the GIL and writes to disjoint places."""
    if items.size < _FEW:
        work(items)
        return
    others = [_THREADS.submit(work, items[k::_CORES]) for k in range(1, _CORES)]
    work(items[::_CORES])
    for other in others:
        other.result()
