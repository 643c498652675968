"""Embedding drift: frames that look like nothing that is annotated.

A frame's distance is that to the nearest annotated frame of another drive, along the directions in
which annotated frames differ, each in its own deviation (Mahalanobis, 1936): another camera moves
frames along many directions a little. A frame is *unlike* the annotated ones if it is farther from
them than all but UNLIKE of themselves are. Of a slice that looks as they do, UNLIKE are unlike; of
one with fog that no annotated drive had, most. The interval counts drives, whose frames resemble
one another, and not frames.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from services.domain.arrays import BoolArray, FloatArray, IntArray, Vectors
from services.domain.mining.principal_components import PrincipalComponents
from services.domain.statistics.clusters import share_of_clusters
from services.domain.statistics.resampling import Interval

UNLIKE: Final = 0.05
"""The share of frames that are unlike the others where nothing drifts."""
_COMPONENTS: Final = 32
_NEVER_ZERO: Final = 1e-9
_CHUNK: Final = 512


@dataclass(frozen=True)
class AnnotatedEmbeddings:
    """What annotated frames look like.

    Attributes
    ----------
    deviations : (C,) of the annotated frames along each principal component
    places : (R, C), of the annotated frames, in these deviations
    clusters : (R,) int64, a number per drive
    farthest : the squared distance from which a frame is unlike these
    """

    components: PrincipalComponents
    deviations: FloatArray
    places: FloatArray
    clusters: IntArray
    farthest: float

    @classmethod
    def of(cls, vectors: Vectors, clusters: IntArray) -> Self | None:
        """The frames of these vectors; None if they are all of one drive."""
        if np.unique(clusters).size < 2:  # noqa: PLR2004  # one, and another
            return None
        components = PrincipalComponents.of(vectors, _COMPONENTS)
        coordinates = components.coordinates(vectors)
        deviations = np.maximum(coordinates.std(axis=0), _NEVER_ZERO)
        places = coordinates / deviations
        distances = _distances(places, clusters, places, clusters)
        farthest = float(np.quantile(distances, 1 - UNLIKE))
        return cls(components, deviations, places, clusters, farthest)

    def unlike(self, vectors: Vectors, clusters: IntArray) -> BoolArray:
        """(F,), whether each frame is unlike these: (F, D) vectors, (F,) drives."""
        places = self.components.coordinates(vectors) / self.deviations
        return _distances(places, clusters, self.places, self.clusters) > self.farthest


def unlike_share(unlike: BoolArray, clusters: IntArray) -> Interval | None:
    """The share of a slice's frames that are unlike the annotated ones, with its 95% interval."""
    return share_of_clusters(unlike.astype(np.float64), np.ones(unlike.size), clusters)


def _distances(
    places: FloatArray, clusters: IntArray, to: FloatArray, to_clusters: IntArray
) -> FloatArray:
    """(F,) squared distances to the nearest of another drive."""
    nearest = []
    for first in range(0, len(places), _CHUNK):
        rows = slice(first, first + _CHUNK)
        squares = (places[rows] ** 2).sum(axis=1)[:, None] + (to**2).sum(axis=1)
        squares -= 2 * places[rows] @ to.T
        squares[clusters[rows, None] == to_clusters] = np.inf
        nearest.append(squares.min(axis=1))
    return np.concatenate(nearest)
