"""Regions of annotated frames, whose failure modes are known: examples, and statistics of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from services.contracts.identity import FrameId, RegionId
from services.contracts.matches import CategoryMatched
from services.domain.arrays import FloatArray, Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Examples
from services.domain.mining.region_features import FEATURES
from services.domain.shortlists.strategies import CategoryStats

_THRESHOLDS = 10

MAX_EXAMPLES = 2000
"""Per model. That many take a second to fit; more examples changed no figure in
docs/measurements/shortlists.md."""


@dataclass(frozen=True, slots=True)
class LabelledRegions:
    """The parts of a match that examples need. Many are cached, so no whole events.

    Attributes
    ----------
    modes : the failure mode of each region; None for a true positive
    ground_truths : over all areas
    """

    frame_id: FrameId
    revision: int
    reannotated: bool
    regions: tuple[RegionId, ...]
    scores: tuple[float, ...]
    matched: tuple[int, ...]
    ignored: tuple[int, ...]
    modes: tuple[FailureMode | None, ...]
    ground_truths: int

    @classmethod
    def of(cls, match: CategoryMatched) -> Self:
        """The annotated regions of a match."""
        modes = (
            None if error is None else FailureMode.of(error, true_category)
            for error, true_category in zip(match.errors, match.true_categories, strict=True)
        )
        return cls(
            match.frame_id,
            match.revision,
            match.reannotated,
            match.regions,
            match.scores,
            match.matched,
            match.ignored,
            tuple(modes),
            match.ground_truths[0],
        )


def modes_of_regions(
    labelled: Iterable[LabelledRegions], score: float
) -> dict[RegionId, FailureMode | None]:
    """The failure mode of each region at or above the score; None for a true positive."""
    return {
        region: mode
        for item in labelled
        for region, region_score, ignored, mode in zip(
            item.regions, item.scores, item.ignored, item.modes, strict=True
        )
        if region_score >= score and _counts(ignored)
    }


def errors_at(labelled: LabelledRegions, score: float) -> int:
    """The false positives and missed objects on a frame, of detections at or above the score."""
    are_right = _are_right(labelled, score)
    return are_right.count(False) + labelled.ground_truths - are_right.count(True)


def missed_at(labelled: LabelledRegions, score: float) -> int:
    """The annotated objects on a frame that no detection at or above the score found."""
    return labelled.ground_truths - _are_right(labelled, score).count(True)


def _are_right(labelled: LabelledRegions, score: float) -> list[bool]:
    """Whether each detection that counts is a true positive at IoU .5, over all areas."""
    return [
        bool(matched & 1)
        for region_score, matched, ignored in zip(
            labelled.scores, labelled.matched, labelled.ignored, strict=True
        )
        if region_score >= score and _counts(ignored)
    ]


def examples_of(
    modes: Mapping[RegionId, FailureMode | None],
    vectors: Mapping[RegionId, Vectors],
    features: Mapping[RegionId, FloatArray],
) -> Examples:
    """The regions of known truth, in the order of their ids.

    If there are more than MAX_EXAMPLES, those with the lowest ids: ids are hashes, so this is a
    random sample.
    """
    known = sorted(modes.keys() & vectors.keys() & features.keys())[:MAX_EXAMPLES]
    if not known:
        return Examples(np.empty((0, 0), np.float32), np.empty((0, FEATURES)), ())
    return Examples(
        np.stack([vectors[region] for region in known]),
        np.stack([features[region] for region in known]),
        tuple(modes[region] for region in known),
        tuple(known),
    )


def category_stats(labelled: Sequence[LabelledRegions]) -> CategoryStats:
    """The detector's statistics in a category on these frames, over all areas.

    They do not depend on the order of the frames.
    """
    rows = [
        (score, bits)
        for item in sorted(labelled, key=lambda item: item.frame_id)
        for score, bits, ignored in zip(item.scores, item.matched, item.ignored, strict=True)
        if _counts(ignored)
    ]
    bits = np.array([bits for _, bits in rows], np.int64).reshape(-1, 1)
    return CategoryStats(
        np.array([score for score, _ in rows], np.float64),
        (bits >> np.arange(_THRESHOLDS) & 1).astype(np.bool_),
        sum(item.ground_truths for item in labelled),
    )


def _counts(ignored: int) -> bool:
    """Whether a detection counts at IoU .5 over all areas, which is bit 0."""
    return not ignored & 1
