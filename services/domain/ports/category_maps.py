"""The store of category maps: the names that a detector uses for the ground truth's."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NewType, Protocol

from services.contracts.identity import Category, DetectorId
from services.domain.detection.category_map import CategoryMap, Names

MapScope = NewType("MapScope", str)
"""What a map holds for: `NAME@VERSION`, or `NAME` for all versions without a name of their own."""


def scopes_of(detector: DetectorId) -> tuple[MapScope, MapScope]:
    """The scopes that hold for a detector version: all versions, then its own."""
    return MapScope(detector.partition("@")[0]), MapScope(detector)


@dataclass(frozen=True)
class StoredMap:
    """A scope's map, as it was last changed."""

    scope: MapScope
    map: CategoryMap
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True)
class Rematch:
    """Predictions that are to be matched again, because their map changed.

    Attributes
    ----------
    revision : of the map
    after : the last key that was done, of `FrameStore.predictions_after`; empty at the beginning
    """

    scope: MapScope
    revision: int
    after: str = ""


@dataclass(frozen=True)
class UnknownCategory:
    """A category that a detector predicts on annotated frames, that no annotation has, and that is
    not mapped.

    Attributes
    ----------
    frames : how many of the frames that were counted have it
    at_least : whether there may be more, as counting all would take too long
    """

    detector: DetectorId
    category: Category
    frames: int
    at_least: bool = False


class CategoryMaps(Protocol):
    """The maps by scope. Every call is durable once it returns."""

    async def change(
        self, scope: MapScope, names: Names, by: str, at: datetime, dropped: Collection[Category]
    ) -> bool:
        """Add or replace names, and drop others; False if that changes nothing.

        A change makes the scope's predictions due for matching again.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def rematch(self, scope: MapScope, by: str, at: datetime) -> None:
        """Make a scope's predictions due for matching again, by the names that it has."""
        ...

    async def all(self) -> Sequence[StoredMap]:
        """Every map, in the order of scopes."""
        ...

    async def of(self, detectors: Collection[DetectorId]) -> Mapping[DetectorId, CategoryMap]:
        """The effective map of each of these detectors."""
        ...

    async def unmatched(self) -> Sequence[Rematch]:
        """The scopes whose predictions are not all matched by their map yet."""
        ...

    async def note(self, done: Rematch) -> None:
        """Note how far a scope is, unless its map has changed meanwhile."""
        ...

    async def finish(self, done: Rematch) -> None:
        """Note that a scope is done, unless its map has changed meanwhile."""
        ...

    async def unknown(self) -> Sequence[UnknownCategory]:
        """The unknown categories of all detectors."""
        ...
