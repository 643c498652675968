"""Yield and lift of shortlists, against draws of equally many regions.

Each draw takes, per category, drive and hour, as many of the detector's shown regions as are
shortlisted there, so that easy drives or dark hours do not bias the comparison. One draw is random,
with an exact expectation; one takes the lowest scores, as active learning does; one the highest.
Only regions of frames with ground truth can be drawn or judged.

Regions of one frame are correlated, so the bootstrap resamples frames: Poisson(1) weights (Hanley
and MacGibbon, 2006), the same for all figures, so that the interval of a ratio accounts for what
its parts share. Where all listed regions are wrong, or none is, resampling shows no variation: 99
of 99 would have the interval 100% to 100%. So shares have Wilson's interval, and ratios take such a
share's variation from its Jeffreys posterior.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.contracts.events import ErrorType, Split
from services.contracts.identity import Category, DriveId, RegionId
from services.contracts.matches import CategoryMatched
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.detection.operating_scores import OperatingScores
from services.domain.failure_modes import FailureMode
from services.domain.metrics.frame_rows import FrameRows, Rows
from services.domain.metrics.match_columns import Names
from services.domain.statistics.intervals import middle_95
from services.domain.statistics.resampling import Interval
from services.domain.statistics.significance import wilson_interval

_REPLICATES: Final = 400
_SEED: Final = 95
_ROUNDING: Final = 1e-24
"""A variance of shares below this is of rounding: replicates that are equal differ by 1e-16."""


class Stratum(NamedTuple):
    """The stratum of a region: draws have equally many regions of each."""

    category: Category
    drive: DriveId | None
    hour: datetime

    @classmethod
    def at(cls, category: Category, drive: DriveId | None, captured_at: datetime) -> "Stratum":
        """The stratum of a region."""
        return cls(category, drive, captured_at.replace(minute=0, second=0, microsecond=0))


@dataclass(frozen=True)
class Lift:
    """Shares of false positives at IoU .5, each with its 95% interval.

    Attributes
    ----------
    found : of the shortlisted regions
    random, lowest, highest : of as many at random, with the lowest, and with the highest scores
    over_random, over_lowest, over_highest : `found` divided by them; None where they are 0
    gain : (found - random) / (1 - random): 0 is the random draw, 1 is perfect; None if random is 1
    confirmed, rejected : the shortlisted regions behind this
    """

    found: Interval
    random: Interval
    lowest: Interval
    highest: Interval
    over_random: Interval | None
    over_lowest: Interval | None
    over_highest: Interval | None
    gain: Interval | None
    confirmed: int
    rejected: int


_REGION: Final = np.dtype(
    [
        ("region", "S16"),
        ("stratum", "i4"),
        ("score", "f8"),
        ("shown", "?"),
        ("mode", "i2"),
    ]
)
"""A region: digest of its id, numbers of stratum and mode; mode -1 is a true positive."""


class LiftPool:
    """One detector's regions on haystack frames with ground truth.

    Parameters
    ----------
    operating : from which scores on a draw may take regions
    """

    def __init__(self, operating: OperatingScores) -> None:
        self._operating = operating
        self._strata: dict[Stratum, int] = {}
        self._modes: dict[FailureMode, int] = {}
        self._regions: defaultdict[Category, FrameRows] = defaultdict(lambda: FrameRows(_REGION))

    def put(self, match: CategoryMatched) -> None:
        """Add a match; it replaces what is known of its frame and category."""
        regions = self._regions[match.category]
        if match.split is Split.HAYSTACK and match.regions:
            regions.put(match.frame_id, self._rows(match))
        else:
            regions.drop(match.frame_id)

    def _rows(self, match: CategoryMatched) -> Rows:
        """The regions of a match."""
        at = Stratum.at(match.category, match.drive_id, match.captured_at)
        stratum = self._strata.setdefault(at, len(self._strata))
        least = self._operating.of(match.detector, match.category)
        columns = zip(match.regions, match.scores, match.errors, match.true_categories, strict=True)
        return np.array(
            [
                (_digest(region), stratum, score, score >= least, self._mode(error, truth))
                for region, score, error, truth in columns
            ],
            _REGION,
        )

    def _mode(self, error: ErrorType | None, truth: Category | None) -> int:
        if error is None:
            return -1
        return self._modes.setdefault(FailureMode.of(error, truth), len(self._modes))

    def modes(self, regions: Collection[RegionId]) -> dict[RegionId, FailureMode | None]:
        """The modes of those of these regions that are in the pool; None for a true positive."""
        names, modes = list(regions), [*self._modes, None]
        pool, _ = self._pooled()
        places = _places(pool["region"], names)
        known = places >= 0
        found = zip(places[known].tolist(), pool["mode"][known].tolist(), strict=True)
        return {names[place]: modes[mode] for place, mode in found}

    def lift(self, listed: Mapping[RegionId, Stratum]) -> Lift | None:
        """The lift of shortlists with these regions; None if none of them is in the pool."""
        drawn_from = [self._strata[item] for item in set(listed.values()) & self._strata.keys()]
        pool, frame = self._pooled()
        shown = np.flatnonzero(pool["shown"] & np.isin(pool["stratum"], drawn_from))
        # In the order of the regions' digests, so that ties and the replicates are the same in
        # whatever order the matches were put.
        shown = shown[np.argsort(pool["region"][shown])]
        pool, frame = pool[shown], frame[shown]
        listed_rows = _places(pool["region"], list(listed)) >= 0
        if not listed_rows.any():
            return None
        stratum, frame = _numbered(pool["stratum"]), _numbered(frame)
        wrong = pool["mode"] >= 0
        regions = _Pool(
            frame,
            stratum,
            wrong,
            listed_rows,
            lowest=_first(stratum, pool["score"], listed_rows),
            highest=_first(stratum, -pool["score"], listed_rows),
        )
        return regions.lift(int(frame.max()) + 1)

    def _pooled(self) -> tuple[Rows, IntArray]:
        """(N,) all regions, and (N,) int64, the number of each one's frame."""
        tables = self._regions.values()
        found = [table.of(table.frame_ids) for table in tables]
        rows = np.concatenate([np.zeros(0, _REGION), *(rows for rows, _ in found)])
        counts = np.concatenate([np.zeros(0, np.int64), *(counts for _, counts in found)])
        frames = Names.of([frame_id for table in tables for frame_id in table.frame_ids])
        return rows, np.repeat(frames.codes, counts)


def _digest(region: RegionId) -> bytes:
    """16 bytes that identify a region, the same in every process."""
    return blake2b(region.encode(), digest_size=16).digest()


def _numbered(values: IntArray) -> IntArray:
    """(N,) int64, the values' numbers in the order in which they first occur."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _places(digests: NDArray[Any], regions: Sequence[RegionId]) -> IntArray:
    """(N,) int64, the index in `regions` of the region of each digest; -1 if it is not there."""
    if not regions:
        return np.full(digests.size, -1)
    theirs = np.array([_digest(region) for region in regions], digests.dtype)
    order = np.argsort(theirs)
    at = np.searchsorted(theirs, digests, sorter=order).clip(max=order.size - 1)
    return np.where(theirs[order[at]] == digests, order[at], -1)


def _first(stratum: IntArray, rank: FloatArray, listed: BoolArray) -> BoolArray:
    """(N,) bool, the regions of lowest rank: per stratum, as many as are listed."""
    order = np.lexsort((rank, stratum))
    first = np.searchsorted(stratum[order], stratum[order], side="left")
    place = np.arange(len(order)) - first
    chosen = np.zeros(len(order), np.bool_)
    chosen[order] = (
        place < np.bincount(stratum[listed], minlength=stratum.max() + 1)[stratum[order]]
    )
    return chosen


@dataclass(frozen=True)
class _Pool:
    """N regions: their frame and stratum, and whether each is wrong, listed, in a draw by score."""

    frame: IntArray
    stratum: IntArray
    wrong: BoolArray
    listed: BoolArray
    lowest: BoolArray
    highest: BoolArray

    def lift(self, frames: int) -> Lift:
        """The lift of the listed regions; frames are numbered below `frames`."""
        draw = np.random.default_rng(_SEED)
        # One replicate at a time: the weights of all would take 3 kB per frame.
        replicates = [self.shares(np.ones(frames, np.int64))] + [
            self.shares(draw.poisson(1, frames)) for _ in range(_REPLICATES)
        ]
        everywhere = np.ones_like(self.wrong)
        supports = (self.listed, everywhere, self.lowest, self.highest)
        shares = [
            _Share(drawn, np.unique(self.frame[rows]).size)
            for drawn, rows in zip(np.array(replicates).T, supports, strict=True)
        ]
        found, random, lowest, highest = (share.varied(draw) for share in shares)
        confirmed = int(np.count_nonzero(self.listed & self.wrong))
        return Lift(
            found=shares[0].interval(),
            random=shares[1].interval(),
            lowest=shares[2].interval(),
            highest=shares[3].interval(),
            over_random=_ratio(found, random),
            over_lowest=_ratio(found, lowest),
            over_highest=_ratio(found, highest),
            gain=_ratio(found - random, 1 - random),
            confirmed=confirmed,
            rejected=int(np.count_nonzero(self.listed)) - confirmed,
        )

    def shares(self, frame_weights: IntArray) -> tuple[float, float, float, float]:
        """Shares that are wrong: listed, random, lowest, highest; NaN without any weight."""
        weights = frame_weights[self.frame].astype(np.float64)
        total, wrong, listed = (
            np.bincount(self.stratum, weights * counted).astype(np.float64)
            for counted in (1.0, self.wrong, self.listed)
        )
        expected = np.divide(wrong, total, out=np.zeros_like(total), where=total > 0)
        return (
            _share(weights * self.listed, self.wrong),
            _share(listed, expected),
            _share(weights * self.lowest, self.wrong),
            _share(weights * self.highest, self.wrong),
        )


def _share(weights: FloatArray, values: FloatArray | BoolArray) -> float:
    total = float(weights.sum())
    return float((weights * values).sum()) / total if total else float("nan")


class _Share(NamedTuple):
    """A share of regions, then its replicates, and the number of frames that they are on."""

    drawn: FloatArray
    frames: int

    def interval(self) -> Interval:
        """Wilson's, for as many independent regions as vary like the replicates do."""
        share, variance = float(self.drawn[0]), self._variance()
        trials = share * (1 - share) / variance if variance else self.frames
        return Interval(share, *wilson_interval(share, trials))

    def _variance(self) -> float:
        variance = float(np.nanvar(self.drawn[1:]))
        return variance if variance > _ROUNDING else 0.0

    def varied(self, draw: np.random.Generator) -> FloatArray:
        """The replicates; of a share that they do not vary, draws from its Jeffreys posterior."""
        if self._variance():
            return self.drawn
        wrong = self.drawn[0] * self.frames
        rest = draw.beta(wrong + 0.5, self.frames - wrong + 0.5, len(self.drawn) - 1)
        return np.concatenate([self.drawn[:1], rest])


def _interval(drawn: FloatArray) -> Interval:
    return Interval(float(drawn[0]), *middle_95(drawn[1:]))


def _ratio(above: FloatArray, below: FloatArray) -> Interval | None:
    if below[0] <= 0:
        return None
    undefined = np.full(len(below), np.nan)
    return _interval(np.divide(above, below, out=undefined, where=below > 0))
