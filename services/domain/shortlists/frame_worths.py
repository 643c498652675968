"""What haystack frames are worth on a shortlist: the sum over their regions of all categories."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Generic, TypeVar

from cachetools import LRUCache

from services.contracts.identity import FrameId

_Category = TypeVar("_Category")


class FrameWorths(Generic[_Category]):
    """The worth of each frame by category. Beyond `most` frames, the longest unused are dropped.

    Sums are correctly rounded, so they do not depend on the order in which categories came.
    """

    def __init__(self, most: int) -> None:
        self._by_frame: LRUCache[FrameId, dict[_Category, float]] = LRUCache(most)

    def put(self, category: _Category, worths: Mapping[FrameId, float]) -> None:
        """Set the worth of these frames by their regions of a category."""
        for frame, worth in worths.items():
            by_category = self._by_frame.get(frame)
            if by_category is None:
                by_category = self._by_frame[frame] = {}
            by_category[category] = worth

    def add(self, category: _Category, worths: Mapping[FrameId, float]) -> None:
        """Set the worth of those of these frames that have none of this category yet."""
        self.put(
            category,
            {
                frame: worth
                for frame, worth in worths.items()
                if category not in self._by_frame.get(frame, ())
            },
        )

    def forget_category(self, category: _Category) -> None:
        """Drop what regions of this category are worth."""
        for by_category in self._by_frame.values():
            by_category.pop(category, None)

    def forget(self, frames: Collection[FrameId]) -> set[_Category]:
        """Drop these frames; returns the categories of their regions."""
        known: set[_Category] = set()
        for frame in frames:
            known |= self._by_frame.pop(frame, {}).keys()
        return known

    def totals(self, frames: Iterable[FrameId]) -> dict[FrameId, float]:
        """The worth of these frames over all categories."""
        return {frame: math.fsum(self._by_frame.get(frame, {}).values()) for frame in frames}
