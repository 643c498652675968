"""The annotations of a frame that a detector misses at its operating score."""

from collections.abc import Sequence

import numpy as np

from services.contracts.events import FrameAnnotated
from services.contracts.missed import MissedAnnotation
from services.domain.detection.coco import AREA_RANGES
from services.domain.detection.frame_matching import FrameMatch


def missed_annotations(
    frame: FrameMatch, truth: FrameAnnotated, operating: Sequence[float]
) -> list[list[MissedAnnotation]]:
    """The annotations that no detection from its operating score on finds at IoU .5, per category.

    These are the counting annotations (neither crowd nor ignored) that COCO's matching leaves
    unmatched among those detections. Detections are matched by descending score, so lower ones
    never change what higher ones find.

    Parameters
    ----------
    frame : the match of this ground truth
    operating : the operating score of each of its categories

    Returns
    -------
    A list per category of the frame, in its order.
    """
    missed: list[list[MissedAnnotation]] = [[] for _ in frame.categories]
    # NaN, the score of an object that is not found at all, fails the comparison too.
    rows = np.flatnonzero(~(frame.found >= np.array(operating)[frame.truths]))
    if not rows.size:
        return missed
    ids = truth.annotation_ids()
    for row in rows.tolist():
        source = int(frame.annotated[row])
        # Of an area on a bound, both ranges hold; the smaller one is named.
        area_range = 1 + int(np.searchsorted(AREA_RANGES[1:, 1], frame.areas[row]))
        missed[frame.truths[row]].append(
            MissedAnnotation(ids[source], truth.annotations[source].bbox, min(area_range, 3))
        )
    return missed
