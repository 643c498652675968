"""The protocol of known places: where annotators want no more sightings of an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.contracts.identity import Category, FrameId, NeedleId


@dataclass(frozen=True)
class KnownPlace:
    """A map object whose errors are known: a category near where a needle's frame was taken.

    Attributes
    ----------
    frame_id : of the needle
    lat, lon : degrees
    by, at : who said so, and when
    """

    needle_id: NeedleId
    frame_id: FrameId
    category: Category
    lat: float
    lon: float
    by: str
    at: datetime


class KnownPlaces(Protocol):
    """Known places by the needle at which somebody said so."""

    async def all(self) -> Sequence[KnownPlace]:
        """All of them, in the order of their needles.

        Raises
        ------
        StoreUnavailable
            The store does not answer; this holds for every method.
        """
        ...

    async def of(self, needle_id: NeedleId) -> KnownPlace | None:
        """The place that is known by this needle."""
        ...

    async def mark(self, place: KnownPlace) -> None:
        """Store a place durably, unless its needle has one."""
        ...

    async def unmark(self, needle_id: NeedleId) -> None:
        """Delete a place, if it is there."""
        ...
