"""Every detector's and category's matches, so that a change costs the same at any size.

A curve is one detector and category. Of each curve, the index keeps the latest match of every
frame, and all detections in COCO's order: by descending score, then by frame, then by their place
on the frame. It answers, for any subset of the frames and any time window, what pycocotools
computes from scratch on the same frames.

**Blocks.** A curve's detections are in blocks of at most 256. Within a block, bits are stored by
property and not by detection: a plane is 256 bits, four words, of which bit i is about the i-th
detection (a bit-sliced index: O'Neil and Quass, SIGMOD 1997). There are 40 planes of true
positives, one for each setting (ten IoU thresholds in four area ranges), 40 of detections that are
not ignored, and 8 for the part of the frames and the windows to which a detection belongs, and
whether it is among the best of its frame. A subset within a window is a mask: the union of part
planes, intersected with a window's plane. So true positives and detections of a block, in any
setting, subset and window, are four population counts each, and no subset or window needs a copy.

**Changes.** A match is found by a hash of its curve and frame; it names the block of each of its
detections. A new detection's place is found by two binary searches: among the first detections of
the curve's blocks, then within a block. Inserting or removing one shifts that block's planes by a
bit. A full block splits into two halves. So a change touches one block, and the order of blocks, an
array of a few bytes per block. A match that enters or leaves a time window is found by its chunk of
rows, which knows when the next of them does.

**Totals.** Counts of frames, detections, ground truths and errors are sums over matches. They are
kept per part and set of windows, as integers, and added up when they are asked for.

**Curves.** Precision after k true positives is k divided by the number of detections down to there.
At each of 101 recalls, COCO takes the largest precision from there on. The k that reaches a recall
is an integer, computed once per number of ground truths (`envelope_kernels.needs_of`). The sweep
goes from the last recall to the first, and keeps the largest precision so far. Between two recalls
it looks at the blocks from left to right, and reads a block only if it can matter: before it, there
are h true positives among s detections, and it has t more, so no precision in it is above
(h + t) / (s + t). That bound holds for each of its points, because (h + x) / (s + x) does not
decrease in x where h <= s. Within a block, the same bound is applied to each word of 64 detections.

**Exactness.** All counts are integers. A bound and a precision are each one division of integers,
and IEEE division rounds monotonically: if one quotient is at most another, so are the rounded ones.
Hence a block that is skipped cannot hold a larger floating-point precision either, and the result
is that of a plain pass, bit for bit.

**Cost.** Counting is a pass over the planes, 64 detections per operation, for 40 settings. The
sweep reads some two blocks per recall and setting on curves whose precision falls, and on any curve
at most all of them. A setting with few true positives is read in full, which is faster. Upper
convex hulls of each block's points would make the bound tight (a tangent to a hull); but finding a
tangent takes as long as counting a block's bits, and hulls must be stored for each subset and
window, and built again after each change.
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.detection.coco import METRICS
from services.domain.metrics import index_arrays
from services.domain.metrics.index_layout import (
    BLOCK,
    CHUNK,
    CURVES,
    EARLIEST,
    FILLED,
    USED_PLACES,
    USED_ROWS,
    WINDOWS,
    Batch,
    Criteria,
    View,
)
from services.domain.metrics.match_columns import LAST_REVISION, detections_of
from services.domain.metrics.score_curves import ScoreCurve
from services.domain.statistics.resampling import Sample

_CORES: Final = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
_THREADS: Final = ThreadPoolExecutor(_CORES, thread_name_prefix="index")
_FEW: Final = 8
_SPARE: Final = 256
"""Fewest spare blocks before matches are added: more than one match can need."""
_PART_BITS: Final = np.array([1, 2, 4])
"""The bit of each part in a set of parts."""
_SORTED: Final = 128
"""New curves with at least so many detections are filled by sorting."""


class MatchIndex:
    """The matches of all curves, by number, and their figures.

    Parameters
    ----------
    lengths : (W,) int64, lengths of the time windows in microseconds, at most three
    """

    def __init__(self, lengths: IntArray) -> None:
        from services.domain.metrics import (  # noqa: PLC0415  # see compiled.py
            curve_kernels,
            fill_kernels,
            index_kernels,
            sample_kernels,
            score_kernels,
        )

        if lengths.size > WINDOWS:
            raise ValueError(f"more than {WINDOWS} time windows")
        self._kernels, self._fill = index_kernels, fill_kernels
        self._curves, self._samples = curve_kernels, sample_kernels
        self._scores = score_kernels
        self._lengths = lengths
        self._until = EARLIEST
        self._index = index_arrays.empty()
        self._erased: IntArray = np.zeros(0, np.int64)
        """Numbers of the frames that `forget` removed; their rows stay."""

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
        return index_arrays.bytes_used(self._index)

    def append(self, detector: int) -> int:
        """Add an empty curve of a detector; returns its number."""
        curve = len(self)
        index = index_arrays.with_curves(self._index, curve + 1, detector + 1)
        index.used[CURVES] = curve + 1
        index.begins[curve + 1] = index.begins[curve]
        index.detector[curve] = detector
        self._index = index
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
        self._reserve(batch, ranks.size)
        criteria = self._criteria(ranks)
        new = self._new_curves(batch)
        if new.any():
            mask = new[batch.curve]
            added = batch if mask.all() else taken(batch, np.flatnonzero(mask))
            self._append(added, _latest(added, ranks), criteria, changed)
            batch = taken(batch, np.flatnonzero(~mask))
        done = 0
        while done < batch.curve.size:
            spare = _SPARE + batch.scores.size // BLOCK
            self._index = index_arrays.with_spare_blocks(self._index, spare)
            done = self._kernels.add(self._index, batch, done, criteria, changed)
        return changed

    def forget(self, frames: IntArray, ranks: IntArray) -> IntArray:
        """Remove frames from every curve; returns what changed, as `add` does.

        An empty match of the highest revision takes the place of each match, so that no late one
        brings the frame back.

        Parameters
        ----------
        frames : (N,) int64, frame numbers
        ranks : (F,) int64, the rank of every frame number
        """
        used = int(self._index.used[USED_ROWS])
        rows = np.flatnonzero(np.isin(self._index.row_frame[:used], frames))
        matches, none = self._index.rows[rows], np.zeros(0, np.float64)
        nothing = Batch(
            matches["curve"].astype(np.int64),
            self._index.row_frame[rows].astype(np.int64),
            matches["part"].astype(np.int64),
            matches["captured"].astype(np.int64),
            np.full(rows.size, LAST_REVISION, np.int64),
            np.zeros((rows.size, 4), np.int64),
            np.zeros(rows.size + 1, np.int64),
            none,
            none.astype(np.uint32),
            none.astype(np.uint64),
            none.astype(np.uint64),
        )
        self._erased = np.union1d(self._erased, frames)
        return self.add(nothing, ranks)

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
            lambda part: self._curves.figures(self._index, part, view.parts, view.window, *out),
        )
        return out

    def score_curve(self, curve: int, parts: int) -> ScoreCurve:
        """Precision, recall and F1 of a curve against the score, in these parts."""
        detections = self._scores.kept(self._index, curve, parts)
        truths = self._scores.truths_of(self._index, curve, parts)
        return ScoreCurve.of(*detections, truths)

    def frame_count(self, detector: int, parts: int) -> int:
        """The number of frames that have a match of a detector in these parts."""
        seen = int(sum(self._index.seen_in[detector, k] for k in range(8) if k & parts))
        of_erased = (self._index.seen[detector, self._erased] > 0) @ _PART_BITS & parts
        return seen - int(np.count_nonzero(of_erased))

    def samples(self, curves: Sequence[int]) -> list[Sample]:
        """The contents of these curves, copied; without erased frames, as in `frame_count`."""
        rows = self._index.rows[: self._index.used[USED_ROWS]]
        own = np.flatnonzero(np.isin(rows["curve"], curves))
        order = own[np.argsort(rows["curve"][own], kind="stable")]
        order = order[~np.isin(self._index.row_frame[order], self._erased)]
        bounds = np.searchsorted(rows["curve"][order], np.arange(len(self) + 1))
        frame, part = self._index.row_frame[order], rows["part"][order]
        truths = rows["truths"][order, 0].astype(np.int64)
        samples = []
        for curve in curves:
            part_of_curve = slice(bounds[curve], bounds[curve + 1])
            detections = self._samples.detections(self._index, curve)
            samples.append(
                Sample(
                    frame[part_of_curve], part[part_of_curve], truths[part_of_curve], *detections
                )
            )
        return samples

    def _reserve(self, batch: Batch, frames: int) -> None:
        """Make room for the matches of a batch, but not for their blocks."""
        rows = int(self._index.used[USED_ROWS]) + batch.curve.size
        places = int(self._index.used[USED_PLACES]) + batch.scores.size
        index = index_arrays.with_frames(index_arrays.with_rows(self._index, rows), frames)
        self._index = index_arrays.with_places(index, places)
        if 3 * rows > 2 * self._index.slots.size:  # a third stays empty: searches stay short
            slots = 1 << (3 * rows // 2).bit_length()
            self._index = self._index._replace(slots=np.full(slots, -1, np.int32))
            self._kernels.rehash(self._index)

    def _criteria(self, ranks: IntArray) -> Criteria:
        return Criteria(ranks, self._lengths, self._until)

    def _new_curves(self, batch: Batch) -> BoolArray:
        """(C,) bool, the curves without rows of which a batch has many detections."""
        found = np.zeros(len(self), np.int64)
        if batch.scores.size >= _SORTED:
            np.add.at(found, batch.curve, np.diff(batch.starts))
        rows = self._index.totals[: len(self), :, :, 0].sum((1, 2))
        new: BoolArray = (found >= _SORTED) & (rows == 0)
        return new

    def _append(self, batch: Batch, order: IntArray, criteria: Criteria, changed: IntArray) -> None:
        """Add matches of new curves.

        Parameters
        ----------
        order : (N,) int64, indices of the matches, by curve and rank, one of each curve and frame
        """
        curves, firsts = np.unique(batch.curve[order], return_index=True)
        bounds = np.append(firsts, order.size)
        detections = np.add.reduceat(np.diff(batch.starts)[order], firsts)
        blocks = int((-(-detections // FILLED)).sum())
        self._index = index_arrays.with_spare_blocks(self._index, blocks)
        row = int(self._index.used[USED_ROWS])
        self._kernels.append(self._index, batch, order, criteria, changed)
        self._fill.reserve(self._index, curves, detections)

        def fill(indices: IntArray) -> None:
            for c in indices.tolist():
                rows = (row + int(bounds[c]), row + int(bounds[c + 1]))
                _, of_curve = detections_of(batch.starts, order[bounds[c] : bounds[c + 1]])
                columns = (batch.scores, batch.positive, batch.counted)
                own = [column[of_curve] for column in columns]
                self._fill.fill(self._index, int(curves[c]), rows, *own)

        _by_all_cores(np.arange(curves.size), fill)


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


def _latest(batch: Batch, ranks: IntArray) -> IntArray:
    """(N,) int64, indices of the latest match of each curve and frame, by curve and rank."""
    rank = ranks[batch.frame]
    order = np.lexsort((-batch.revision, rank, batch.curve))
    curve, rank = batch.curve[order], rank[order]
    first = np.ones(order.size, np.bool_)
    first[1:] = (curve[1:] != curve[:-1]) | (rank[1:] != rank[:-1])
    latest: IntArray = order[first]
    return latest


def _by_all_cores(items: IntArray, work: Callable[[IntArray], None]) -> None:
    """Split the items over threads; `work` releases the GIL and writes to disjoint places."""
    if items.size < _FEW:
        work(items)
        return
    others = [_THREADS.submit(work, items[k::_CORES]) for k in range(1, _CORES)]
    work(items[::_CORES])
    for other in others:
        other.result()
