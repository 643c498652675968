"""The detections and objects of a frame behind a count of true and false positives."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from services.contracts.events import ErrorType
from services.contracts.identity import Box, Category
from services.contracts.matches import CategoryMatched
from services.domain.metrics.subsets import Subset, part_of


class Outcome(StrEnum):
    """What became of detections or objects, matched at IoU .5 over all areas."""

    RIGHT = "right"
    """True positives."""
    WRONG = "wrong"
    """False positives of any error type."""
    CONFUSED = "confused"
    """False positives whose error type is classification."""
    BACKGROUND = "background"
    """All other false positives."""
    MISSED = "missed"
    """Objects that no detection of their category found."""


@dataclass(frozen=True)
class OutcomeFilter:
    """Which detections or objects count.

    Attributes
    ----------
    score : the least score of a detection that is shown
    category : of the detections, or of the missed objects; None for all
    true_category : of the objects that are confused with it; None for any
    """

    outcome: Outcome
    score: float
    category: Category | None = None
    true_category: Category | None = None
    subset: Subset = Subset.ALL


class FoundRegion(NamedTuple):
    """A detection that a filter selects."""

    category: Category
    score: float
    bbox: Box
    error_type: ErrorType | None
    true_category: Category | None


@dataclass(frozen=True)
class FoundObjects:
    """What a filter selects of one category on one frame.

    Attributes
    ----------
    count : number of detections, or of missed objects
    regions : the detections; empty for missed objects
    """

    count: int
    regions: Sequence[FoundRegion] = ()


def selected(match: CategoryMatched, wanted: OutcomeFilter) -> FoundObjects:
    """The detections or objects of a match that a filter selects."""
    part = part_of(match.split, shortlisted=match.shortlisted)
    if wanted.category not in (None, match.category) or not wanted.subset.word >> part & 1:
        return FoundObjects(0)
    shown = [k for k, score in enumerate(match.scores) if score >= wanted.score]
    counted = [k for k in shown if not match.ignored[k] & 1]
    right = [k for k in counted if match.matched[k] & 1]
    if wanted.outcome is Outcome.MISSED:
        return FoundObjects(match.ground_truths[0] - len(right))
    rows = right if wanted.outcome is Outcome.RIGHT else _wrong(match, counted, wanted)
    return FoundObjects(len(rows), [_region(match, k) for k in rows])


def _wrong(match: CategoryMatched, counted: Sequence[int], wanted: OutcomeFilter) -> list[int]:
    wrong = [k for k in counted if not match.matched[k] & 1]
    if wanted.outcome is Outcome.WRONG:
        return wrong
    confused = [
        k
        for k in wrong
        if match.errors[k] is ErrorType.CLASSIFICATION and match.true_categories[k] is not None
    ]
    if wanted.outcome is Outcome.BACKGROUND:
        return [k for k in wrong if k not in confused]
    return [k for k in confused if wanted.true_category in (None, match.true_categories[k])]


def _region(match: CategoryMatched, k: int) -> FoundRegion:
    return FoundRegion(
        match.category,
        match.scores[k],
        match.bboxes[k],
        match.errors[k],
        match.true_categories[k],
    )
