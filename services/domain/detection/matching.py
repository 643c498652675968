"""Matching detections with ground truth by COCO's rules, once, for all 40 settings.

Equal to pycocotools' `COCOeval.evaluateImg` for boxes and masks, with one addition.
`COCOeval._prepare` overwrites an annotation's `ignore` by its `iscrowd`; here `ignore` is kept. An
ignored annotation does not count, and is matched at most once, by plain IoU. A crowd may be matched
any number of times, by the share of the detection's own area that it covers. A match with either is
ignored. The loop over detections is in `match_kernels`.
"""

from dataclasses import dataclass

import numpy as np

from services.domain.arrays import BitsArray, FloatArray, IntArray
from services.domain.detection.boxes import Annotations, Detections
from services.domain.detection.coco import MAX_DETECTIONS
from services.domain.detection.masks import mask_iou_matrix


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
    detected, annotated = detections.masks, annotations.masks
    starts = np.zeros(detections.starts.size, np.int64)
    if detected is None or annotated is None:
        return starts, np.zeros(0)
    counts = np.diff(detections.starts).clip(max=MAX_DETECTIONS)
    np.cumsum(counts * np.diff(annotations.starts), out=starts[1:])
    pairs = np.zeros(starts[-1])
    for k in np.flatnonzero(np.diff(starts)):
        rows = slice(annotations.starts[k], annotations.starts[k + 1])
        scores = detections.scores[detections.starts[k] : detections.starts[k + 1]]
        best = detections.starts[k] + np.argsort(-scores, kind="stable")[: counts[k]]
        pairs[starts[k] : starts[k + 1]] = mask_iou_matrix(
            detected.taken(best), annotated.taken(rows), annotations.crowd[rows]
        ).ravel()
    return starts, pairs
