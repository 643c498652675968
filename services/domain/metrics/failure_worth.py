"""The AP that a change of some failures is worth: AP without them, minus AP with them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from services.contracts.identity import RegionId
from services.contracts.matches import CategoryMatched

_THRESHOLDS = 0x3FF
"""The bits of the ten IoU thresholds over all areas."""


@dataclass(frozen=True)
class CategoryDetections:
    """A detector's detections of one category on some frames, in descending score.

    Attributes
    ----------
    truths : the number of ground truths
    positive, counted : (D,) uint16, true positives and what is not ignored, IoU threshold t as
        bit t
    """

    truths: int
    regions: tuple[RegionId, ...]
    positive: NDArray[Any]
    counted: NDArray[Any]

    @classmethod
    def of(cls, matches: Iterable[CategoryMatched]) -> Self:
        """Those of a category's matches."""
        matches = sorted(matches, key=lambda match: match.frame_id)
        scores = np.array([score for match in matches for score in match.scores])
        regions = [region for match in matches for region in match.regions]
        matched, ignored = (
            np.array(
                [bits & _THRESHOLDS for match in matches for bits in getattr(match, name)], int
            )
            for name in ("matched", "ignored")
        )
        order = np.argsort(-scores, kind="stable")
        counted = ~ignored[order] & _THRESHOLDS
        return cls(
            sum(match.ground_truths[0] for match in matches),
            tuple(regions[i] for i in order),
            (matched[order] & counted).astype(np.uint16),
            counted.astype(np.uint16),
        )

    def gain_without(self, regions: Collection[RegionId]) -> float:
        """AP without these detections minus AP with them; 0 where AP is undefined."""
        if not regions or not self.truths:
            return 0.0
        keep = np.array([region not in regions for region in self.regions], np.bool_)
        return self._ap(keep) - self._ap(np.ones(keep.size, np.bool_))

    def _ap(self, keep: NDArray[np.bool_]) -> float:
        from services.domain.statistics import resampling_kernels  # noqa: PLC0415  # see compiled.py

        positive, counted = self.positive[keep], self.counted[keep]
        one_frame = np.zeros(positive.size, np.int32)
        weights = np.ones(1, np.int64)
        ap = resampling_kernels.weighted_ap(self.truths, one_frame, positive, counted, weights)
        return float(ap)
