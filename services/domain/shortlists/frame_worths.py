"""What haystack frames are worth on a shortlist: the sum over their regions of all categories."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Final

from services.contracts.identity import Category, FrameId

ENTRY_BYTES: Final = 200
"""A worth with its share of the table and of the frame's id, measured with tracemalloc."""
_DROPPED_AT_ONCE: Final = 8
"""One in so many of a category's worths is dropped, so that dropping costs little per frame."""

Worths = MutableMapping[FrameId, float]
"""The worth of each frame by its regions of one category, the one that was set last comes last."""


def _in_memory(_: Category) -> Worths:
    return {}


class FrameWorths:
    """The worth of each frame by category.

    Parameters
    ----------
    most_bytes : beyond it, the category with most worths loses those that were set first
    table : where the worths of a category are kept
    categories : of which worths are kept already
    """

    def __init__(
        self,
        most_bytes: int,
        table: Callable[[Category], Worths] = _in_memory,
        categories: Iterable[Category] = (),
    ) -> None:
        self._most = max(1, most_bytes // ENTRY_BYTES)
        self._table = table
        self._categories: dict[Category, Worths] = {name: table(name) for name in categories}
        self._count = sum(map(len, self._categories.values()))

    def put(self, category: Category, worths: Mapping[FrameId, float]) -> None:
        """Set the worth of these frames by their regions of a category."""
        of_category = self._of(category)
        before = len(of_category)
        # In the order of their ids, so that what is dropped depends on no order of events.
        for frame, worth in sorted(worths.items()):
            of_category.pop(frame, None)
            of_category[frame] = worth
        self._count += len(of_category) - before
        while self._count > self._most:
            self._drop_first()

    def add(self, category: Category, worths: Mapping[FrameId, float]) -> None:
        """Set the worth of those of these frames that have none of this category yet."""
        known = self._of(category)
        self.put(category, {f: worth for f, worth in worths.items() if f not in known})

    def forget_category(self, category: Category) -> None:
        """Drop what regions of this category are worth."""
        of_category = self._of(category)
        self._count -= len(of_category)
        of_category.clear()

    def forget(self, frames: Collection[FrameId]) -> set[Category]:
        """Drop these frames; returns the categories of their regions."""
        known: set[Category] = set()
        for category, worths in self._categories.items():
            for frame in frames:
                if worths.pop(frame, None) is not None:
                    self._count -= 1
                    known.add(category)
        return known

    def totals(self, frames: Iterable[FrameId]) -> dict[FrameId, float]:
        """The worth of these frames over all categories.

        Sums are correctly rounded, so they do not depend on the order in which categories arrived.
        """
        tables = [worths for worths in self._categories.values() if worths]
        return {
            frame: math.fsum(worths[frame] for worths in tables if frame in worths)
            for frame in set(frames)
        }

    def _of(self, category: Category) -> Worths:
        if category not in self._categories:
            self._categories[category] = self._table(category)
        return self._categories[category]

    def _drop_first(self) -> None:
        _, largest = max((len(self._categories[name]), name) for name in self._categories)
        worths = self._categories[largest]
        dropped = list(worths)[: math.ceil(len(worths) / _DROPPED_AT_ONCE)]
        for frame in dropped:
            del worths[frame]
        self._count -= len(dropped)
