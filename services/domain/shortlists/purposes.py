"""What a budget is spent for: coverage, rare categories, or expected errors.

The strategy `label-efficiency` spends every budget for all three. How much each gets follows what
annotators found on the frames that it got before.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.contracts.identity import Category

_EQUAL_SHARE: Final = 0.5
"""Share of a budget that is divided equally, so that no purpose is given up."""
_PRIOR_FRAMES: Final = 10.0
"""Frames with the mean yield that are added to each purpose: one shortlist."""


class Purpose(StrEnum):
    """Why a frame is listed."""

    COVERAGE = "coverage"
    """It was drawn among all frames, whatever the detector found there."""
    RARE = "rare"
    """It probably has an error in a category with few objects."""
    ERRORS = "errors"
    """It probably has errors that cost much."""


@dataclass(frozen=True)
class Finding:
    """What annotators found on a frame.

    Attributes
    ----------
    errors : false positives and missed objects, weighted by the rarity of their category
    """

    purpose: Purpose
    errors: float


def rare_of(objects: Mapping[Category, int]) -> set[Category]:
    """The categories with fewer objects than the mean; none if all have as many.

    Parameters
    ----------
    objects : annotated objects of each category
    """
    total = sum(objects.values())
    return {name for name, count in objects.items() if count * len(objects) < total}


def shares_of(findings: Iterable[Finding]) -> dict[Purpose, float]:
    """The share of a budget for each purpose: half of it equal, half by errors found per frame."""
    by_purpose: dict[Purpose, list[float]] = {purpose: [] for purpose in Purpose}
    for finding in findings:
        by_purpose[finding.purpose].append(finding.errors)
    judged = sum(map(len, by_purpose.values()))
    mean = math.fsum(math.fsum(found) for found in by_purpose.values()) / judged if judged else 0.0
    yields = {
        purpose: (math.fsum(found) + _PRIOR_FRAMES * mean) / (len(found) + _PRIOR_FRAMES)
        for purpose, found in by_purpose.items()
    }
    total, equal = math.fsum(yields.values()), 1 / len(yields)
    return {
        purpose: _EQUAL_SHARE * equal + (1 - _EQUAL_SHARE) * (found / total if total > 0 else equal)
        for purpose, found in yields.items()
    }


def divided(
    frames: int, shares: Mapping[Purpose, float], waiting: Mapping[Purpose, int]
) -> dict[Purpose, int]:
    """How many of these new frames are for each purpose.

    Those that wait for annotators count, so that shares hold too where frames come one by one.

    Parameters
    ----------
    waiting : listed frames that are not annotated, by purpose
    """
    total = frames + sum(waiting.values())
    lacking = {
        purpose: max(0.0, share * total - waiting.get(purpose, 0))
        for purpose, share in shares.items()
    }
    sum_lacking = math.fsum(lacking.values())
    if not frames or not sum_lacking:
        return dict.fromkeys(shares, 0)
    exact = {purpose: frames * part / sum_lacking for purpose, part in lacking.items()}
    found = {purpose: math.floor(part) for purpose, part in exact.items()}
    # The largest remainders get the frames that are left.
    by_remainder = sorted(exact, key=lambda purpose: (found[purpose] - exact[purpose], purpose))
    for purpose in by_remainder[: frames - sum(found.values())]:
        found[purpose] += 1
    return found
