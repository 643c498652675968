"""Matching detections with ground truth by COCO's rules, once, for all 40 settings.

Equal to pycocotools' `COCOeval.evaluateImg` for boxes and masks, with one addition.
`COCOeval._prepare` overwrites an annotation's `ignore` by its `iscrowd`; here `ignore` is kept. An
ignored annotation does not count, and is matched at most once, by plain IoU. A crowd may be matched
any number of times, by the share of the detection's own area that it covers. A match with either is
ignored. The loop over detections is in `match_kernels`.

The area of an annotation is its `area`, else its mask's, else its box's; the area of a detection
is its box's, or its mask's if masks are matched, as in `COCO.loadRes` for results with either. (For
results with both, that function takes the box's area even for masks.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, Generic, Self, TypeVar

import numpy as np
from pycocotools import mask as rle

from services.contracts.events import (
    Annotation,
    Detection,
    ErrorType,
    FrameAnnotated,
    PredictionsMade,
)
from services.contracts.identity import Category
from services.contracts.matches import CategoryMatch, MatchGroups
from services.contracts.missed import MissedAnnotations
from services.domain.detection.boxes import Annotations, Detections
from services.domain.detection.category_map import SAME_NAMES, NamedPredictions
from services.domain.detection.coco import (
    MAX_DETECTIONS,
    BitsArray,
    BoolArray,
    FloatArray,
    IntArray,
)
from services.domain.detection.error_types import (
    TYPES,
    Errors,
    errors_of_boxes,
    errors_of_overlaps,
)
from services.domain.detection.masks import Grid, Masks, grid_of, mask_iou_matrix

_CONFUSED: Final = (TYPES.index(ErrorType.CLASSIFICATION), TYPES.index(ErrorType.BOTH))
"""Errors that name the category that a detection should have had."""


@dataclass(frozen=True)
class Matches:
    """The matches of every group's at most 100 detections, best first.

    Attributes
    ----------
    starts : (K + 1,) int64; group k is `[starts[k]:starts[k + 1]]` of what follows
    source : (M,) int64, index of each detection
    matched, ignored : (M,) uint64, bit `10 * area + threshold`
    overlaps : (M,) float64, IoU with the ground truth matched at .5 over all areas, else 0
    partner : (M,) int64, index of that ground truth, else -1
    ground_truths : (K, 4) int64, the number that counts, per area range
    """

    starts: IntArray
    source: IntArray
    matched: BitsArray
    ignored: BitsArray
    overlaps: FloatArray
    partner: IntArray
    ground_truths: IntArray


def match_groups(detections: Detections, annotations: Annotations) -> Matches:
    """Match each group of detections with the group of annotations of the same number.

    Raises
    ------
    ValueError
        The two have different numbers of groups.
    """
    from services.domain.detection import match_kernels  # noqa: PLC0415  # see compiled.py

    if detections.starts.size != annotations.starts.size:
        raise ValueError("detections and annotations are grouped differently")
    columns = match_kernels.match_groups(
        detections.starts,
        detections.boxes,
        detections.areas,
        detections.scores,
        annotations.starts,
        annotations.boxes,
        annotations.areas,
        annotations.crowd,
        annotations.ignore,
        *_pairs(detections, annotations),
    )
    return Matches(*columns)


def _pairs(detections: Detections, annotations: Annotations) -> tuple[IntArray, FloatArray]:
    """The overlaps of masks within each group, as the kernel reads them; none for boxes."""
    found, there = detections.masks, annotations.masks
    starts = np.zeros(detections.starts.size, np.int64)
    if found is None or there is None:
        return starts, np.zeros(0)
    kept = np.diff(detections.starts).clip(max=MAX_DETECTIONS)
    np.cumsum(kept * np.diff(annotations.starts), out=starts[1:])
    pairs = np.zeros(starts[-1])
    for k in np.flatnonzero(np.diff(starts)):
        rows = slice(annotations.starts[k], annotations.starts[k + 1])
        scores = detections.scores[detections.starts[k] : detections.starts[k + 1]]
        best = detections.starts[k] + np.argsort(-scores, kind="stable")[: kept[k]]
        pairs[starts[k] : starts[k + 1]] = mask_iou_matrix(
            found.taken(best), there.taken(rows), annotations.crowd[rows]
        ).ravel()
    return starts, pairs


Pair = tuple[PredictionsMade, FrameAnnotated]
"""What a detector found on a frame, and what is there."""
T = TypeVar("T", Detection, Annotation)


@dataclass(frozen=True)
class FrameMatch:
    """One frame, matched; a group is a category.

    Attributes
    ----------
    categories : of each of K groups, in order
    starts : (K + 1,) int64; group k is `[starts[k]:starts[k + 1]]` of the M matches, best first
    source : (M,) int64, index of each match in the predictions' detections
    boxes, scores : (M, 4) and (M,) float64, of the detection
    matched, ignored, overlaps, ground_truths : see `Matches`
    wrong : (M,) bool, the false positives at IoU .5 over all areas
    errors : of the false positives, in their order
    truths : (G,) int64, the group of each ground truth that counts; `errors.truth` indexes these
    annotated : (G,) int64, its index in the ground truth's annotations
    areas : (G,) float64, its area in square pixels
    found : (G,) float64, the score of the detection that found it at IoU .5; NaN where none did
    """

    categories: Sequence[Category]
    starts: IntArray
    source: IntArray
    boxes: FloatArray
    scores: FloatArray
    matched: BitsArray
    ignored: BitsArray
    overlaps: FloatArray
    ground_truths: IntArray
    wrong: BoolArray
    errors: Errors
    truths: IntArray
    annotated: IntArray
    areas: FloatArray
    found: FloatArray

    @property
    def used(self) -> BoolArray:
        """(G,) bool, whether a detection found the ground truth at IoU .5."""
        return ~np.isnan(self.found)

    @property
    def groups(self) -> IntArray:
        """(M,) int64, of each match."""
        return group_of(self.starts)

    @property
    def error_codes(self) -> IntArray:
        """(M,) int64, of each match: 0 for no error, else 1 + index in `TYPES`."""
        codes = np.zeros(self.wrong.size, np.int64)
        codes[self.wrong] = 1 + self.errors.kind
        return codes


def match_frame(
    predictions: PredictionsMade, ground_truth: FrameAnnotated
) -> dict[Category, CategoryMatch]:
    """Match one frame: every category that has a detection or an annotation, in its order."""
    frame = frame_match(predictions, ground_truth)
    return matched_groups(frame, SAME_NAMES.named(predictions)).by_category()


def matched_groups(
    frame: FrameMatch, named: NamedPredictions, missed: MissedAnnotations | None = None
) -> MatchGroups:
    """The columns of a frame that was matched with these predictions.

    Parameters
    ----------
    missed : in the frame's groups
    """
    return MatchGroups(
        categories=tuple(frame.categories),
        sizes=tuple(np.diff(frame.starts).tolist()),
        ground_truths=tuple(map(tuple, frame.ground_truths.tolist())),
        regions=tuple(named.regions[i] for i in frame.source.tolist()),
        bboxes=frame.boxes.tobytes(),
        scores=frame.scores.tobytes(),
        matched=frame.matched.tobytes(),
        ignored=frame.ignored.tobytes(),
        overlaps=frame.overlaps.tobytes(),
        errors=frame.error_codes.astype(np.uint8).tobytes(),
        true_categories=_mistaken(frame),
        missed=missed,
    )


def _mistaken(frame: FrameMatch) -> tuple[Category | None, ...]:
    """The category that each match should have had, where it is a classification error or both."""
    mistaken: list[Category | None] = [None] * frame.wrong.size
    confused = np.isin(frame.errors.kind, _CONFUSED)
    truths = frame.truths[frame.errors.truth[confused]].tolist()
    for i, truth in zip(np.flatnonzero(frame.wrong)[confused].tolist(), truths, strict=True):
        mistaken[i] = frame.categories[truth]
    return tuple(mistaken)


def frame_match(predictions: PredictionsMade, ground_truth: FrameAnnotated) -> FrameMatch:
    """Match one frame, all its categories at once."""
    return frame_matches([(predictions, ground_truth)])[0]


def frame_matches(frames: Sequence[Pair]) -> list[FrameMatch]:
    """Match some frames, in their order.

    All those that are matched by boxes are matched at once: most of a frame's time is what each
    call of a kernel and of numpy takes, however few boxes it is given.
    """
    grids = [
        grid_of((*found.detections, *there.annotations)) if found.iou_type == "segm" else None
        for found, there in frames
    ]
    by_boxes = [frame for frame, grid in zip(frames, grids, strict=True) if grid is None]
    matched = iter(_matched(by_boxes, None))
    return [
        next(matched) if grid is None else _matched([frame], grid)[0]
        for frame, grid in zip(frames, grids, strict=True)
    ]


def _matched(frames: Sequence[Pair], grid: Grid | None) -> list[FrameMatch]:
    """Match frames by boxes; or one frame by masks, on its grid."""
    categories = [
        sorted({d.category for d in found.detections} | {a.category for a in there.annotations})
        for found, there in frames
    ]
    found = _Grouped.of([found.detections for found, _ in frames], categories)
    there = _Grouped.of([there.annotations for _, there in frames], categories)
    detections, annotations = _detections(found, grid), _annotations(there, grid)
    matches = match_groups(detections, annotations)
    counts = ~(annotations.crowd | annotations.ignore)
    wrong, found_at = _wrong_and_found(detections, annotations, matches)
    truths = np.flatnonzero(counts)
    groups, of_frames = bounds(map(len, categories)), np.searchsorted(truths, there.frames)
    frame = np.repeat(np.arange(len(frames)), np.diff(matches.starts[groups]))[wrong]
    errors = _errors(
        (detections, matches.source[wrong]),
        (annotations, truths),
        ~np.isnan(found_at[truths]),
        np.stack((of_frames[frame], of_frames[frame + 1]), axis=1),
    )
    every = FrameMatch(
        [name for names in categories for name in names],
        matches.starts,
        found.places[matches.source],
        detections.boxes[matches.source],
        detections.scores[matches.source],
        matches.matched,
        matches.ignored,
        matches.overlaps,
        matches.ground_truths,
        wrong,
        errors,
        group_of(annotations.starts)[truths],
        there.places[truths],
        annotations.areas[truths],
        found_at[truths],
    )
    return _divided(every, groups, of_frames)


def _divided(every: FrameMatch, groups: IntArray, truths: IntArray) -> list[FrameMatch]:
    """Each frame's part of several frames' match.

    Parameters
    ----------
    groups, truths : (F + 1,) int64, where each frame's groups and ground truths start
    """
    rows = every.starts[groups]
    wrong = np.concatenate(([0], np.cumsum(every.wrong)))[rows]
    bounds_of = (groups.tolist(), rows.tolist(), wrong.tolist(), truths.tolist())
    parts = zip(*map(pairwise, bounds_of), strict=True)
    return [
        _part(every, slice(*group), slice(*row), slice(*false), slice(*truth))
        for group, row, false, truth in parts
    ]


def _part(every: FrameMatch, groups: slice, rows: slice, wrong: slice, truths: slice) -> FrameMatch:
    return FrameMatch(
        every.categories[groups],
        every.starts[groups.start : groups.stop + 1] - rows.start,
        every.source[rows],
        every.boxes[rows],
        every.scores[rows],
        every.matched[rows],
        every.ignored[rows],
        every.overlaps[rows],
        every.ground_truths[groups],
        every.wrong[rows],
        Errors(every.errors.kind[wrong], every.errors.truth[wrong]),
        every.truths[truths] - groups.start,
        every.annotated[truths],
        every.areas[truths],
        every.found[truths],
    )


@dataclass(frozen=True)
class _Grouped(Generic[T]):
    """The objects of several frames, by group; a group is a category on one frame.

    Attributes
    ----------
    items : N objects, by group
    places : (N,) int64, the index of each among its frame's
    starts : (K + 1,) int64, where each group starts
    frames : (F + 1,) int64, where each frame starts
    """

    items: Sequence[T]
    places: IntArray
    starts: IntArray
    frames: IntArray

    @classmethod
    def of(cls, of_frames: Sequence[Sequence[T]], categories: Sequence[Sequence[Category]]) -> Self:
        """The objects of each frame, in the order of its categories."""
        every: list[T] = []
        codes: list[int] = []
        first = 0
        for items, names in zip(of_frames, categories, strict=True):
            place = {name: first + k for k, name in enumerate(names)}
            every += items
            codes += [place[item.category] for item in items]
            first += len(names)
        order, starts = grouped(np.array(codes, np.int64), first)
        frames = bounds(map(len, of_frames))
        places = order - np.repeat(frames[:-1], np.diff(frames))
        return cls([every[i] for i in order.tolist()], places, starts, frames)


def bounds(sizes: Iterable[int]) -> IntArray:
    """Where each of N consecutive parts of these sizes starts, and the end: (N + 1,) int64."""
    return np.array([0, *accumulate(sizes)], np.int64)


def grouped(group: IntArray, groups: int) -> tuple[IntArray, IntArray]:
    """The order that sorts items by group, and where each group starts.

    Parameters
    ----------
    group : (N,) int64 from 0, the group of each item
    groups : K, the number of groups

    Returns
    -------
    order : (N,) int64; stable within a group
    starts : (K + 1,) int64
    """
    starts = np.zeros(groups + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=groups), out=starts[1:])
    # numpy uses radix sort for 16-bit integers, which is ten times as fast.
    small = group.astype(np.uint16) if groups < 1 << 16 else group
    return np.argsort(small, kind="stable"), starts


def group_of(starts: IntArray) -> IntArray:
    """The group of each item: (starts[-1],) int64."""
    return np.repeat(np.arange(starts.size - 1), np.diff(starts))


def _detections(found: _Grouped[Detection], grid: Grid | None) -> Detections:
    return Detections(
        found.starts,
        np.array([item.bbox for item in found.items], np.float64).reshape(-1, 4),
        np.array([item.score for item in found.items], np.float64),
        Masks.of(found.items, grid) if grid else None,
    )


def _annotations(there: _Grouped[Annotation], grid: Grid | None) -> Annotations:
    return Annotations(
        there.starts,
        np.array([item.bbox for item in there.items], np.float64).reshape(-1, 4),
        np.array([_area(item) for item in there.items], np.float64),
        np.array([item.crowd for item in there.items], np.bool_),
        np.array([item.ignore for item in there.items], np.bool_),
        Masks.of(there.items, grid) if grid else None,
    )


def _area(annotation: Annotation) -> float:
    if annotation.area is not None:
        return annotation.area
    if annotation.mask is not None:
        return float(rle.area(annotation.mask.model_dump()))
    return annotation.bbox[2] * annotation.bbox[3]


def _wrong_and_found(
    detections: Detections, annotations: Annotations, matches: Matches
) -> tuple[BoolArray, FloatArray]:
    """At IoU .5 over all areas: the false positives, and the score that found each ground truth."""
    matched, ignored = (matches.matched & 1).astype(bool), (matches.ignored & 1).astype(bool)
    finds = matched & ~ignored
    found = np.full(len(annotations.boxes), np.nan)
    found[matches.partner[finds]] = detections.scores[matches.source[finds]]
    return ~matched & ~ignored, found


def _errors(
    false: tuple[Detections, IntArray],
    counting: tuple[Annotations, IntArray],
    used: BoolArray,
    beside: IntArray,
) -> Errors:
    """The error of each false positive, among the ground truths of its frame.

    Parameters
    ----------
    false, counting : which (N,) detections are false positives, and which (G,) annotations count
    used : (G,) bool, whether a detection found the ground truth
    beside : (N, 2) int64, the range of the G ground truths that are on the false positive's frame
    """
    (detections, wrong), (annotations, truths) = false, counting
    groups = group_of(detections.starts)[wrong], group_of(annotations.starts)[truths]
    found, there = detections.masks, annotations.masks
    if found is None or there is None:
        boxes = detections.boxes[wrong], annotations.boxes[truths]
        return errors_of_boxes(*boxes, beside, *groups, used=used)
    of_false, of_counting = found.taken(wrong), there.taken(truths)
    no_crowd = np.zeros(truths.size, np.bool_)
    return errors_of_overlaps(
        lambda at: mask_iou_matrix(of_false.taken(at), of_counting, no_crowd), *groups, used
    )
