"""What shortlists are worth: how much of them is wrong, beside draws of as many regions.

Each draw takes, of every category, drive and hour, as many of the detector's shown regions as are
shortlisted there: so neither an easy drive nor a dark hour speaks for the shortlists. One draws at
random, which has an exact expectation; one takes the lowest scores, as active learning does. Only
regions of frames with ground truth can be drawn or judged.

Regions of a frame come together, so frames are resampled: Poisson(1) weights (Hanley and MacGibbon,
2006), the same for all figures, so that a ratio is as sure as what its parts share allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from services.contracts.events import FrameMatched
from services.contracts.identity import Category, DriveId, FrameId, RegionId
from services.domain.coco import BoolArray, FloatArray, IntArray
from services.domain.resampling import Interval

_REPLICATES: Final = 400
_SEED: Final = 95


class Stratum(NamedTuple):
    """What a draw keeps as it is."""

    category: Category
    drive: DriveId | None
    hour: datetime

    @classmethod
    def at(cls, category: Category, drive: DriveId | None, captured_at: datetime) -> "Stratum":
        """Of a region."""
        return cls(category, drive, captured_at.replace(minute=0, second=0, microsecond=0))


@dataclass(frozen=True)
class Lift:
    """Shares of false positives at IoU .5, each with its 95% interval.

    Attributes
    ----------
    found : of the shortlisted regions
    random, lowest : of as many at random, and of as many with the lowest scores
    over_random, over_lowest : `found` over them; none where they are 0
    gain : (found - random) / (1 - random): 0 is the random draw, 1 is perfect; none where it is so
    confirmed, rejected : the shortlisted regions behind this
    """

    found: Interval
    random: Interval
    lowest: Interval
    over_random: Interval | None
    over_lowest: Interval | None
    gain: Interval | None
    confirmed: int
    rejected: int


class LiftPool:
    """One detector's regions on haystack frames with ground truth, as far as draws may take them.

    Parameters
    ----------
    listed : the shortlisted regions
    operating_score : from where on regions are shown
    """

    def __init__(self, listed: Mapping[RegionId, Stratum], operating_score: float) -> None:
        self._listed = listed
        self._wanted = {stratum: number for number, stratum in enumerate(set(listed.values()))}
        self._operating_score = operating_score
        self._frames: dict[FrameId, int] = {}
        self._rows: list[tuple[int, int, float, bool, bool]] = []

    def add(self, match: FrameMatched) -> None:
        """Take in the match of a haystack frame; each only once."""
        stratum = self._wanted.get(Stratum.at(match.category, match.drive_id, match.captured_at))
        if stratum is None:
            return
        frame = self._frames.setdefault(match.frame_id, len(self._frames))
        for region, score, error in zip(match.regions, match.scores, match.errors, strict=True):
            if score >= self._operating_score:
                wrong, listed = error is not None, region in self._listed
                self._rows.append((frame, stratum, score, wrong, listed))

    def lift(self) -> Lift | None:
        """What the shortlists are worth; none while no shortlisted region has ground truth."""
        if not any(listed for *_, listed in self._rows):
            return None
        frame, stratum, score, wrong, listed = (
            np.array(column) for column in zip(*self._rows, strict=True)
        )
        pool = _Pool(frame, stratum, wrong, listed, _lowest(stratum, score, listed))
        drawn = np.random.default_rng(_SEED).poisson(1, (_REPLICATES, len(self._frames)))
        shares = np.array([pool.shares(w) for w in (np.ones(len(self._frames), np.int64), *drawn)])
        found, random, lowest = shares.T
        confirmed = int(np.count_nonzero(listed & wrong))
        return Lift(
            found=_interval(found),
            random=_interval(random),
            lowest=_interval(lowest),
            over_random=_ratio(found, random),
            over_lowest=_ratio(found, lowest),
            gain=_ratio(found - random, 1 - random),
            confirmed=confirmed,
            rejected=int(np.count_nonzero(listed)) - confirmed,
        )


def _lowest(stratum: IntArray, score: FloatArray, listed: BoolArray) -> BoolArray:
    """(N,), the regions with the lowest scores: of each stratum as many as are listed."""
    order = np.lexsort((score, stratum))
    first = np.searchsorted(stratum[order], stratum[order], side="left")
    rank = np.arange(len(order)) - first
    chosen = np.zeros(len(order), np.bool_)
    chosen[order] = rank < np.bincount(stratum[listed], minlength=stratum.max() + 1)[stratum[order]]
    return chosen


@dataclass(frozen=True)
class _Pool:
    """N regions: number of frame and stratum, wrong or not, listed or not, lowest or not."""

    frame: IntArray
    stratum: IntArray
    wrong: BoolArray
    listed: BoolArray
    lowest: BoolArray

    def shares(self, frame_weights: IntArray) -> tuple[float, float, float]:
        """Of the listed, of a random draw and of the lowest scores; NaN without any weight."""
        weights = frame_weights[self.frame].astype(np.float64)
        every, wrong, listed = (
            np.bincount(self.stratum, weights * of).astype(np.float64)
            for of in (1.0, self.wrong, self.listed)
        )
        expected = np.divide(wrong, every, out=np.zeros_like(every), where=every > 0)
        return (
            _share(weights * self.listed, self.wrong),
            _share(listed, expected),
            _share(weights * self.lowest, self.wrong),
        )


def _share(weights: FloatArray, values: FloatArray | BoolArray) -> float:
    total = float(weights.sum())
    return float((weights * values).sum()) / total if total else float("nan")


def _interval(drawn: FloatArray) -> Interval:
    low, high = np.nanquantile(drawn[1:], [0.025, 0.975])
    return Interval(float(drawn[0]), float(low), float(high))


def _ratio(above: FloatArray, below: FloatArray) -> Interval | None:
    if below[0] <= 0:
        return None
    undefined = np.full(len(below), np.nan)
    return _interval(np.divide(above, below, out=undefined, where=below > 0))
