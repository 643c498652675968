"""Suspected label errors: annotations that a detector contradicts, of three kinds.

- **missing**: a detection that is probably right, where nothing is annotated. How probable that is
  comes from a logistic model of the detector's failures on *other* drives, because a model that
  had seen the missing label would call the detection wrong (out-of-sample probabilities, as in
  confident learning: Northcutt, Jiang and Chuang, JAIR 70, 2021).
- **category**: an annotation that a detection of another category covers, and none of its own.
- **placement**: an annotation that a sure detection of its category covers in part.

Kinds and baseline are those of ObjectLab (Tkachenko, Thyagarajan and Mueller, 2023), which takes
scores as they are and similarity above a threshold. docs/label-errors.md compares the two.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from services.contracts.events import FrameAnnotated
from services.contracts.identity import Box, Category, FrameId
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.detection.boxes import iou_matrix
from services.domain.detection.category_map import NamedPredictions
from services.domain.mining import logistic
from services.domain.mining.label_error import LabelError
from services.domain.mining.region_features import Shown, region_features
from services.domain.statistics.sampling import permanent_number
from services.domain.statistics.standardisation import Standardisation

_FOLDS: Final = 5
_RIDGE: Final = 10.0
_MAX_FITTED: Final = 20_000
"""Detections that a fold's model is fitted to: more change no probability by much."""
_COVERS: Final = 0.5
_TOUCHES: Final = 0.05
"""A detection with less overlap is no evidence of where an annotation's edges should be."""


@dataclass(frozen=True)
class SuspectedLabel:
    """A place where ground truth is probably wrong.

    Attributes
    ----------
    bbox : of the detection where a label is missing, else of the annotation
    category : what the detector finds there
    annotated_as : None where a label is missing
    suspicion : in [0, 1]; higher is more suspicious, within one kind
    """

    frame_id: FrameId
    error: LabelError
    bbox: Box
    category: Category
    annotated_as: Category | None
    suspicion: float


@dataclass(frozen=True)
class LabelledFrame:
    """The detections of one detector on an annotated frame, and the annotations.

    Attributes
    ----------
    unit : what is learnt from together: the drive, or the frame itself
    boxes, scores, categories, features : (N, 4), (N,), N and (N, F), of the detections
    annotated, annotated_as, counts : (G, 4), G and (G,) bool, false of crowds and ignored ones
    """

    frame_id: FrameId
    unit: str
    boxes: FloatArray
    scores: FloatArray
    categories: Sequence[Category]
    features: FloatArray
    annotated: FloatArray
    annotated_as: Sequence[Category]
    counts: BoolArray

    @classmethod
    def of(
        cls, named: NamedPredictions, truth: FrameAnnotated, unit: str, size: tuple[int, int]
    ) -> Self:
        """The frame; detections of categories that were not annotated are left out.

        Parameters
        ----------
        size : width and height in pixels
        """
        found = [
            detection
            for detection in named.predictions.detections
            if truth.categories is None or detection.category in truth.categories
        ]
        numbers = {name: n for n, name in enumerate(sorted({item.category for item in found}))}
        boxes = np.array([item.bbox for item in found], np.float64).reshape(-1, 4)
        scores = np.array([item.score for item in found], np.float64)
        places = np.array([numbers[item.category] for item in found], np.int64)
        annotations = truth.annotations
        return cls(
            frame_id=truth.frame_id,
            unit=unit,
            boxes=boxes,
            scores=scores,
            categories=[item.category for item in found],
            features=region_features(Shown(boxes, scores, places, *size)),
            annotated=np.array([item.bbox for item in annotations], np.float64).reshape(-1, 4),
            annotated_as=[item.category for item in annotations],
            counts=np.array([item.counts for item in annotations], np.bool_),
        )


def suspected_labels(frames: Sequence[LabelledFrame]) -> list[SuspectedLabel]:
    """What one detector contradicts, the most suspicious first; of each kind in its own scale."""
    overlaps = [iou_matrix(frame.boxes, frame.annotated, ~frame.counts) for frame in frames]
    same = [_agree(frame.categories, frame.annotated_as) for frame in frames]
    right = _right(frames, overlaps, same)
    found: list[SuspectedLabel] = []
    for frame, overlap, agrees, probability in zip(frames, overlaps, same, right, strict=True):
        found += _missing(frame, overlap, probability)
        found += _contradicted(frame, overlap, agrees)
    return in_order(found)


def of_several(detectors: Sequence[Sequence[SuspectedLabel]]) -> list[SuspectedLabel]:
    """What several detectors contradict: the mean suspicion, 0 from those that do not.

    The most suspicious first. Missing labels are the same where their boxes cover one another.
    """
    if len(detectors) == 1:
        return in_order(detectors[0])
    merged: defaultdict[tuple[object, ...], list[SuspectedLabel]] = defaultdict(list)
    for item in (item for found in detectors for item in found):
        place = item.category if item.error is LabelError.MISSING else item.bbox
        merged[item.frame_id, item.error, item.annotated_as, place].append(item)
    return in_order(
        [_mean(group, len(detectors)) for items in merged.values() for group in _same(items)]
    )


def in_order(found: Sequence[SuspectedLabel]) -> list[SuspectedLabel]:
    """The most suspicious first; ties in an order that depends on the suspects alone."""
    return sorted(found, key=lambda s: (-s.suspicion, s.frame_id, s.error, s.bbox, s.category))


def _covers(overlap: FloatArray) -> BoolArray:
    covered: BoolArray = overlap >= _COVERS
    return covered


def _groups(boxes: FloatArray) -> list[IntArray]:
    """Groups of indices: the first box that is in no group yet, then those that it covers."""
    groups, remaining = [], np.arange(len(boxes))
    while remaining.size:
        first, others = remaining[:1], remaining[1:]
        # One row at a time: all overlaps of 10,000 boxes, with what they are computed from, took
        # 4.8 GB.
        overlap = iou_matrix(boxes[first], boxes[others], np.zeros(others.size, np.bool_))[0]
        is_covered = _covers(overlap)
        groups.append(np.concatenate([first, others[is_covered]]))
        remaining = others[~is_covered]
    return groups


def _same(items: Sequence[SuspectedLabel]) -> list[list[SuspectedLabel]]:
    """Suspects of one place, or missing labels of one category, divided by object."""
    if items[0].error is not LabelError.MISSING:
        return [list(items)]
    boxes = np.array([item.bbox for item in items], np.float64)
    return [[items[k] for k in group] for group in _groups(boxes)]


def _mean(group: Sequence[SuspectedLabel], detectors: int) -> SuspectedLabel:
    first = max(group, key=lambda item: item.suspicion)
    total = min(sum(item.suspicion for item in group) / detectors, 1.0)
    return SuspectedLabel(
        *(first.frame_id, first.error, first.bbox, first.category, first.annotated_as), total
    )


def _agree(categories: Sequence[Category], annotated: Sequence[Category]) -> BoolArray:
    """(N, G) whether a detection and an annotation have one category."""
    pairs = [[name == other for other in annotated] for name in categories]
    return np.array(pairs, np.bool_).reshape(len(categories), len(annotated))


def _right(
    frames: Sequence[LabelledFrame], overlaps: Sequence[FloatArray], same: Sequence[BoolArray]
) -> list[FloatArray]:
    """Per frame (N,), how probably each detection is right, learnt from frames of other units.

    With detections on one frame only, there are no others: scores are taken as they are.
    """
    names = sorted({name for frame in frames for name in frame.categories})
    place = {name: number for number, name in enumerate(names)}
    category = np.array([place[name] for frame in frames for name in frame.categories], np.int64)
    if not category.size:
        return [np.empty(0) for _ in frames]
    features = np.concatenate([frame.features for frame in frames])
    standardised = Standardisation.of(features).applied(features)
    inputs = np.column_stack([standardised, np.eye(len(names))[category]])
    covered = [
        (_covers(overlap) & agrees).any(axis=1)
        for overlap, agrees in zip(overlaps, same, strict=True)
    ]
    labels = np.concatenate(covered).astype(np.int64)
    sizes = [len(frame.scores) for frame in frames]
    shown = [frame for frame in frames if len(frame.scores)]
    fold = np.repeat(_folds(shown), [len(frame.scores) for frame in shown])
    if (fold == fold[0]).all():
        return [frame.scores for frame in frames]
    right = np.zeros(category.size)
    for number in range(_FOLDS):
        others, held_out = np.flatnonzero(fold != number), fold == number
        fitted = others[:: max(1, others.size // _MAX_FITTED)]
        model = logistic.fit(inputs[fitted], labels[fitted], 2, ridge=_RIDGE)
        right[held_out] = model.probabilities(inputs[held_out])[:, 1]
    return np.split(right, np.cumsum(sizes)[:-1])


def _folds(frames: Sequence[LabelledFrame]) -> list[int]:
    """The fold of each frame: that of its unit, or its own if all are of one unit."""
    units: list[str] = [frame.unit for frame in frames]
    if len(set(units)) == 1:
        units = [frame.frame_id for frame in frames]
    folds = [int(permanent_number("fold", unit) * _FOLDS) for unit in units]
    if len(set(folds)) > 1:
        return folds
    # A few units may share a fold by chance, which leaves no others to learn from.
    ranks = {unit: rank for rank, unit in enumerate(sorted(set(units)))}
    return [ranks[unit] % _FOLDS for unit in units]


def _missing(frame: LabelledFrame, overlap: FloatArray, right: FloatArray) -> list[SuspectedLabel]:
    """Detections that no annotation covers; of those that cover one another, the likeliest."""
    suspicion = right * (1 - np.minimum(1, overlap.max(axis=1, initial=0) / _COVERS))
    order = np.argsort(-right, kind="stable")
    likeliest = [order[group[0]] for group in _groups(frame.boxes[order])]
    return [
        _suspect(frame, LabelError.MISSING, k, None, float(suspicion[k]))
        for k in likeliest
        if suspicion[k] > 0
    ]


def _contradicted(
    frame: LabelledFrame, overlap: FloatArray, agrees: BoolArray
) -> list[SuspectedLabel]:
    """Annotations whose category or box a detection contradicts that no other one explains."""
    explains = _covers(overlap) & agrees
    explained = explains.sum(axis=1)
    found = []
    for g in np.flatnonzero(frame.counts & bool(len(frame.scores))):
        is_free = explained == explains[:, g]
        covering = frame.scores * np.minimum(1, overlap[:, g] / _COVERS)
        other = np.where(is_free & ~agrees[:, g], covering, 0.0)
        k = int(other.argmax())
        suspicion = float(other[k] * (1 - covering[agrees[:, g]].max(initial=0)))
        if suspicion > 0:
            found.append(_suspect(frame, LabelError.CATEGORY, k, int(g), suspicion))
        own = np.where(is_free & agrees[:, g] & (overlap[:, g] > _TOUCHES), frame.scores, 0.0)
        k = int((own * overlap[:, g]).argmax())
        suspicion = float(own[k] ** 2 * (1 - overlap[k, g]))
        if suspicion > 0:
            found.append(_suspect(frame, LabelError.PLACEMENT, k, int(g), suspicion))
    return found


def _suspect(
    frame: LabelledFrame,
    error: LabelError,
    detection: int,
    annotation: int | None,
    suspicion: float,
) -> SuspectedLabel:
    at = frame.boxes[detection] if annotation is None else frame.annotated[annotation]
    x, y, width, height = at.tolist()
    return SuspectedLabel(
        frame_id=frame.frame_id,
        error=error,
        bbox=(x, y, width, height),
        category=frame.categories[detection],
        annotated_as=None if annotation is None else frame.annotated_as[annotation],
        suspicion=suspicion,
    )
