"""Embedding drift: frames that look like nothing that is annotated.

A frame's distance is that of its vector to the nearest annotated frame of another drive. It is
*unlike* the annotated frames if it is farther from them than all but UNLIKE of themselves are. Of a
slice that looks as they do, UNLIKE are unlike; of one with fog that no annotated drive had, most.
The interval counts drives, whose frames resemble one another, and not frames.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from services.domain.detection.coco import BoolArray, FloatArray, IntArray
from services.domain.mining.ranking import Vectors
from services.domain.statistics.clusters import share_of_clusters
from services.domain.statistics.resampling import Interval

UNLIKE: Final = 0.05
"""The share of frames that are unlike the others where nothing drifts."""
_CHUNK: Final = 512


@dataclass(frozen=True)
class AnnotatedFrames:
    """What annotated frames look like.

    Attributes
    ----------
    vectors : (R, D) float32, unit length
    clusters : (R,) int64, a number per drive
    farthest : the distance from which a frame is unlike these
    """

    vectors: Vectors
    clusters: IntArray
    farthest: float

    @classmethod
    def of(cls, vectors: Vectors, clusters: IntArray) -> Self | None:
        """The frames of these vectors; None if they are all of one drive."""
        if np.unique(clusters).size < 2:  # noqa: PLR2004  # one, and another
            return None
        distances = _distances(vectors, clusters, vectors, clusters)
        return cls(vectors, clusters, float(np.quantile(distances, 1 - UNLIKE)))

    def unlike(self, vectors: Vectors, clusters: IntArray) -> BoolArray:
        """(F,), whether each frame is unlike these: (F, D) vectors, (F,) drives."""
        return _distances(vectors, clusters, self.vectors, self.clusters) > self.farthest


def drift(unlike: BoolArray, clusters: IntArray) -> Interval | None:
    """The share of a slice's frames that are unlike the annotated ones, with its 95% interval."""
    return share_of_clusters(unlike.astype(np.float64), np.ones(unlike.size), clusters)


def _distances(
    vectors: Vectors, clusters: IntArray, to: Vectors, to_clusters: IntArray
) -> FloatArray:
    """(F,) cosine distances to the nearest of another drive."""
    nearest = []
    for first in range(0, len(vectors), _CHUNK):
        rows = slice(first, first + _CHUNK)
        cosines = vectors[rows] @ to.T
        cosines[clusters[rows, None] == to_clusters] = -1.0
        nearest.append(cosines.max(axis=1))
    return np.asarray(1.0 - np.concatenate(nearest, dtype=np.float64))
