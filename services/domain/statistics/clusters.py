"""Figures of observations that come in clusters, such as the detections of a drive."""

import numpy as np

from services.domain.arrays import FloatArray, IntArray
from services.domain.statistics.resampling import Interval
from services.domain.statistics.significance import wilson_interval


def sums_by_cluster(values: FloatArray, clusters: IntArray) -> FloatArray:
    """(G, ...) the sums of (N, ...) values over each of G clusters, in the order of numbers."""
    numbers = np.unique(clusters, return_inverse=True)[1]
    sums = np.zeros((int(numbers.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(sums, numbers, values)
    return sums


def share_of_clusters(parts: FloatArray, wholes: FloatArray, clusters: IntArray) -> Interval | None:
    """The share of a sum in another, with its 95% interval; None where nothing counts.

    Parameters
    ----------
    parts, wholes : (N,) of each observation
    clusters : (N,), only observations of other clusters are independent
    """
    return share_of_sums(sums_by_cluster(parts, clusters), sums_by_cluster(wholes, clusters))


def share_of_sums(parts: FloatArray, wholes: FloatArray) -> Interval | None:
    """The share of a sum in another, with its 95% interval; None where nothing counts.

    Wilson's interval, for as many independent observations as vary like these (the variance of a
    ratio, of first order), so that 99 of 99 is not 100% to 100%.

    Parameters
    ----------
    parts, wholes : (G,) of each independent cluster
    """
    whole = float(wholes.sum())
    if not whole:
        return None
    share = float(parts.sum() / whole)
    independent = share * (1 - share) / whole
    variance = float(np.square(parts - share * wholes).sum()) / whole**2
    effective = whole / max(1.0, variance / independent) if independent else whole
    return Interval(share, *wilson_interval(share, effective))
