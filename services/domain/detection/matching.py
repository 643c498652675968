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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from services.contracts.matches import CategoryMatch
from services.domain.detection.boxes import Annotations, Detections, iou_matrix
from services.domain.detection.category_map import SAME_NAMES, NamedPredictions
from services.domain.detection.coco import (
    MAX_DETECTIONS,
    BitsArray,
    BoolArray,
    FloatArray,
    IntArray,
    whole,
)
from services.domain.detection.error_types import TYPES, Errors, error_types
from services.domain.detection.masks import Grid, Masks, grid_of, mask_iou_matrix


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


@dataclass(frozen=True)
class FrameMatch:
    """One frame, matched; a group is a category.

    Attributes
    ----------
    categories : of each group, in order
    source : (M,) int64, index of each match in the predictions' detections
    wrong : (M,) bool, the false positives at IoU .5 over all areas
    errors : of the false positives, in their order
    truths : (G,) int64, the group of each ground truth that counts; `errors.truth` indexes these
    annotated : (G,) int64, its index in the ground truth's annotations
    areas : (G,) float64, its area in square pixels
    found : (G,) float64, the score of the detection that found it at IoU .5; NaN where none did
    """

    categories: Sequence[Category]
    detections: Detections
    matches: Matches
    source: IntArray
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
    def scores(self) -> FloatArray:
        """(M,) float64, of each match."""
        return self.detections.scores[self.matches.source]

    @property
    def groups(self) -> IntArray:
        """(M,) int64, of each match."""
        return group_of(self.matches.starts)

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
    return category_matches(frame_match(predictions, ground_truth), SAME_NAMES.named(predictions))


def category_matches(frame: FrameMatch, named: NamedPredictions) -> dict[Category, CategoryMatch]:
    """The columns of each category of a frame that was matched with these predictions."""
    regions, found, matches = named.regions, named.predictions.detections, frame.matches
    types, mistaken = _errors(frame)
    columns: tuple[Sequence[Any], ...] = (
        [regions[i] for i in frame.source],
        [found[i].bbox for i in frame.source],
        [found[i].score for i in frame.source],
        whole(matches.matched),
        whole(matches.ignored),
        matches.overlaps.tolist(),
        types,
        mistaken,
    )
    result: dict[Category, CategoryMatch] = {}
    for k, category in enumerate(frame.categories):
        rows = slice(matches.starts[k], matches.starts[k + 1])
        cells: list[Any] = [tuple(column[rows]) for column in columns]
        cells.append(tuple(matches.ground_truths[k].tolist()))
        result[category] = CategoryMatch(*cells)
    return result


def frame_match(predictions: PredictionsMade, ground_truth: FrameAnnotated) -> FrameMatch:
    """Match one frame, all its categories at once."""
    found, there = predictions.detections, ground_truth.annotations
    categories = sorted({d.category for d in found} | {a.category for a in there})
    place = {category: k for k, category in enumerate(categories)}
    grid = grid_of((*found, *there)) if predictions.iou_type == "segm" else None
    order, starts = grouped(_codes(found, place), len(place))
    ordered = [found[i] for i in order]
    detections = Detections(
        starts,
        np.array([d.bbox for d in ordered], np.float64).reshape(-1, 4),
        np.array([d.score for d in ordered], np.float64),
        Masks.of(ordered, grid) if grid else None,
    )
    annotated, annotations = _annotations(there, place, grid)
    matches = match_groups(detections, annotations)
    counts = ~(annotations.crowd | annotations.ignore)
    truths = group_of(annotations.starts)[counts]
    wrong, found_at = _wrong_and_found(detections, annotations, matches)
    errors = error_types(
        _overlaps(detections, matches.source[wrong], annotations, np.flatnonzero(counts)),
        group_of(matches.starts)[wrong],
        truths,
        ~np.isnan(found_at[counts]),
    )
    return FrameMatch(
        categories,
        detections,
        matches,
        order[matches.source],
        wrong,
        errors,
        truths,
        annotated[counts],
        annotations.areas[counts],
        found_at[counts],
    )


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


def _overlaps(
    detections: Detections, rows: IntArray, annotations: Annotations, columns: IntArray
) -> Callable[[slice], FloatArray]:
    """IoU of some detections with some annotations, by slices of the former."""
    no_crowd = np.zeros(columns.size, np.bool_)
    if detections.masks is None or annotations.masks is None:
        boxes, truths = detections.boxes[rows], annotations.boxes[columns]
        return lambda at: iou_matrix(boxes[at], truths, no_crowd)
    found, there = detections.masks.taken(rows), annotations.masks.taken(columns)
    return lambda at: mask_iou_matrix(found.taken(at), there, no_crowd)


def _annotations(
    there: Sequence[Annotation], place: Mapping[Category, int], grid: Grid | None
) -> tuple[IntArray, Annotations]:
    """The order that groups the annotations, and the groups."""
    order, starts = grouped(_codes(there, place), len(place))
    truths = [there[i] for i in order]
    return order, Annotations(
        starts,
        np.array([a.bbox for a in truths], np.float64).reshape(-1, 4),
        np.array([_area(a) for a in truths], np.float64),
        np.array([a.crowd for a in truths], np.bool_),
        np.array([a.ignore for a in truths], np.bool_),
        Masks.of(truths, grid) if grid else None,
    )


def _area(annotation: Annotation) -> float:
    if annotation.area is not None:
        return annotation.area
    if annotation.mask is not None:
        return float(rle.area(annotation.mask.model_dump()))
    return annotation.bbox[2] * annotation.bbox[3]


def _codes(items: Sequence[Detection | Annotation], place: Mapping[Category, int]) -> IntArray:
    return np.array([place[item.category] for item in items], np.int64)


def _wrong_and_found(
    detections: Detections, annotations: Annotations, matches: Matches
) -> tuple[BoolArray, FloatArray]:
    """At IoU .5 over all areas: the false positives, and the score that found each ground truth."""
    matched, ignored = (matches.matched & 1).astype(bool), (matches.ignored & 1).astype(bool)
    finds = matched & ~ignored
    found = np.full(len(annotations.boxes), np.nan)
    found[matches.partner[finds]] = detections.scores[matches.source[finds]]
    return ~matched & ~ignored, found


def _errors(frame: FrameMatch) -> tuple[list[ErrorType | None], list[Category | None]]:
    """The error type of each match, and the category that it should have had."""
    types: list[ErrorType | None] = [None] * frame.wrong.size
    mistaken: list[Category | None] = [None] * frame.wrong.size
    errors = zip(frame.errors.kind, frame.errors.truth, strict=True)
    for i, (type_index, truth) in zip(np.flatnonzero(frame.wrong), errors, strict=True):
        types[i] = TYPES[type_index]
        if types[i] in (ErrorType.CLASSIFICATION, ErrorType.BOTH):
            mistaken[i] = frame.categories[frame.truths[truth]]
    return types, mistaken
