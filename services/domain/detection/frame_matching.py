"""Match whole frames: all their categories at once, many frames in one call of the kernel.

The area of an annotation is that of `area_of`; the area of a detection is its box's, or its mask's
if masks are matched, as in `COCO.loadRes` for results with either. (For results with both, that
function takes the box's area even for masks.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

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
from services.domain.arrays import BitsArray, BoolArray, FloatArray, IntArray
from services.domain.detection.boxes import Annotations, Detections
from services.domain.detection.category_map import SAME_NAMES, NamedPredictions
from services.domain.detection.error_types import TYPES, Errors, errors_of_boxes, errors_of_overlaps
from services.domain.detection.grouping import GroupedObjects, bounds, group_of
from services.domain.detection.masks import Grid, Masks, area_of, grid_of, mask_iou_matrix
from services.domain.detection.matching import Matches, match_groups

_CONFUSED: Final = (TYPES.index(ErrorType.CLASSIFICATION), TYPES.index(ErrorType.BOTH))
"""Errors that name the category that a detection should have had."""


Pair = tuple[PredictionsMade, FrameAnnotated]
"""The predictions of one detector version on a frame, and the frame's ground truth."""


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

    Frames that are matched by boxes share one call of the kernel, because the fixed cost of a call
    is most of the time that a frame takes. Frames with masks are matched one by one.
    """
    grids = [
        grid_of((*predictions.detections, *truth.annotations))
        if predictions.iou_type == "segm"
        else None
        for predictions, truth in frames
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
        sorted(
            {d.category for d in predictions.detections} | {a.category for a in truth.annotations}
        )
        for predictions, truth in frames
    ]
    detected = GroupedObjects.of([predictions.detections for predictions, _ in frames], categories)
    annotated = GroupedObjects.of([truth.annotations for _, truth in frames], categories)
    detections, annotations = _detections(detected, grid), _annotations(annotated, grid)
    matches = match_groups(detections, annotations)
    counts = ~(annotations.crowd | annotations.ignore)
    wrong, found_scores = _false_positives_and_scores(detections, annotations, matches)
    truths = np.flatnonzero(counts)
    groups, of_frames = bounds(map(len, categories)), np.searchsorted(truths, annotated.frames)
    frame = np.repeat(np.arange(len(frames)), np.diff(matches.starts[groups]))[wrong]
    errors = _errors(
        (detections, matches.source[wrong]),
        (annotations, truths),
        ~np.isnan(found_scores[truths]),
        np.stack((of_frames[frame], of_frames[frame + 1]), axis=1),
    )
    combined = FrameMatch(
        [name for names in categories for name in names],
        matches.starts,
        detected.places[matches.source],
        detections.boxes[matches.source],
        detections.scores[matches.source],
        matches.matched,
        matches.ignored,
        matches.overlaps,
        matches.ground_truths,
        wrong,
        errors,
        group_of(annotations.starts)[truths],
        annotated.places[truths],
        annotations.areas[truths],
        found_scores[truths],
    )
    return _divided(combined, groups, of_frames)


def _divided(combined: FrameMatch, groups: IntArray, truths: IntArray) -> list[FrameMatch]:
    """Divide the combined match of several frames into one match per frame.

    Parameters
    ----------
    groups, truths : (F + 1,) int64, where each frame's groups and ground truths start
    """
    rows = combined.starts[groups]
    wrong = np.concatenate(([0], np.cumsum(combined.wrong)))[rows]
    bounds_of = (groups.tolist(), rows.tolist(), wrong.tolist(), truths.tolist())
    parts = zip(*map(pairwise, bounds_of), strict=True)
    return [
        _part(combined, slice(*group), slice(*row), slice(*false), slice(*truth))
        for group, row, false, truth in parts
    ]


def _part(
    combined: FrameMatch, groups: slice, rows: slice, wrong: slice, truths: slice
) -> FrameMatch:
    return FrameMatch(
        combined.categories[groups],
        combined.starts[groups.start : groups.stop + 1] - rows.start,
        combined.source[rows],
        combined.boxes[rows],
        combined.scores[rows],
        combined.matched[rows],
        combined.ignored[rows],
        combined.overlaps[rows],
        combined.ground_truths[groups],
        combined.wrong[rows],
        Errors(combined.errors.kind[wrong], combined.errors.truth[wrong]),
        combined.truths[truths] - groups.start,
        combined.annotated[truths],
        combined.areas[truths],
        combined.found[truths],
    )


def _detections(objects: GroupedObjects[Detection], grid: Grid | None) -> Detections:
    return Detections(
        objects.starts,
        np.array([item.bbox for item in objects.items], np.float64).reshape(-1, 4),
        np.array([item.score for item in objects.items], np.float64),
        Masks.of(objects.items, grid) if grid else None,
    )


def _annotations(objects: GroupedObjects[Annotation], grid: Grid | None) -> Annotations:
    return Annotations(
        objects.starts,
        np.array([item.bbox for item in objects.items], np.float64).reshape(-1, 4),
        np.array([area_of(item) for item in objects.items], np.float64),
        np.array([item.crowd for item in objects.items], np.bool_),
        np.array([item.ignore for item in objects.items], np.bool_),
        Masks.of(objects.items, grid) if grid else None,
    )


def _false_positives_and_scores(
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
    ranges: IntArray,
) -> Errors:
    """The error of each false positive, among the ground truths of its frame.

    Parameters
    ----------
    false, counting : which (N,) detections are false positives, and which (G,) annotations count
    used : (G,) bool, whether a detection found the ground truth
    ranges : (N, 2) int64, the range of the G ground truths that are on the false positive's frame
    """
    (detections, wrong), (annotations, truths) = false, counting
    groups = group_of(detections.starts)[wrong], group_of(annotations.starts)[truths]
    detected, annotated = detections.masks, annotations.masks
    if detected is None or annotated is None:
        boxes = detections.boxes[wrong], annotations.boxes[truths]
        return errors_of_boxes(*boxes, ranges, *groups, used=used)
    of_false, of_counting = detected.taken(wrong), annotated.taken(truths)
    no_crowd = np.zeros(truths.size, np.bool_)
    return errors_of_overlaps(
        lambda at: mask_iou_matrix(of_false.taken(at), of_counting, no_crowd), *groups, used
    )
