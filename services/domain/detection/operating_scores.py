"""The scores from which detections count as shown to users."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from services.contracts.identity import Category, DetectorId

_VERSION: Final = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True)
class OperatingScores:
    """One score for all detections, and others for those of some categories.

    Attributes
    ----------
    default : of categories that have no score of their own
    own : by category, as the ground truth names it; a detector version's comes before all versions'
        (None)
    """

    default: float
    own: Mapping[tuple[DetectorId | None, Category], float] = field(default_factory=dict)

    @classmethod
    def parsed(cls, default: float, listed: str) -> Self:
        """The scores in `category=score,NAME@VERSION:category=score,…`.

        As in CSV, a category with a comma is quoted: `"sign, round=.4"`. Versions and categories
        may have colons, so a score is of every version and category that its text may name.

        Raises
        ------
        ValueError
            A category is missing or there twice, or a score is not between 0 and 1.
        """
        own: dict[tuple[DetectorId | None, Category], float] = {}
        (parts,) = csv.reader([listed]) if listed.strip() else ([],)
        for part in parts:
            name, _, text = part.rpartition("=")
            keys, score = _named(name.strip()), float(text)
            if not name.strip() or own.keys() & keys:
                raise ValueError(f"{part!r:.200} names no category, or one that is there twice")
            if not 0 <= score <= 1:
                raise ValueError(f"{part!r:.200}: a score is from 0 to 1")
            own |= dict.fromkeys(keys, score)
        return cls(default, own)

    def of(self, detector: DetectorId, category: Category) -> float:
        """The score from which a detector's detections of a category are shown."""
        if not self.own:
            return self.default
        of_all = self.own.get((None, category), self.default)
        return self.own.get((detector, category), of_all)

    def by_category(self, detector: DetectorId, categories: Iterable[Category]) -> list[float]:
        """The scores of these categories."""
        return [self.of(detector, category) for category in categories]


def _named(name: str) -> set[tuple[DetectorId | None, Category]]:
    """What a text may name: a category, and a version and a category on both sides of a colon."""
    colons = [place for place, character in enumerate(name) if character == ":"]
    halves = [(name[:place], name[place + 1 :].strip()) for place in colons]
    return {(None, Category(name))} | {
        (DetectorId(version), Category(category))
        for version, category in halves
        if category and _VERSION.fullmatch(version)
    }
