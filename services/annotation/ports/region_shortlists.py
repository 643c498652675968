"""Shortlists that people make themselves, of regions that they circle on the map."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, Self

from services.contracts.identity import Category, FrameId, NeedleId, RegionId
from services.domain.ports.region_maps import MappedRegion

MAX_SHORTLISTS: Final = 200
"""Of all people: more would not be a short list."""
MAX_REGIONS: Final = 5000
"""About 1 MB of a document, which may have 16."""


@dataclass(frozen=True)
class ListedRegion:
    """A detected region of a shortlist.

    Attributes
    ----------
    bbox : x, y, width, height, in pixels of the frame
    needle : the needle that the region is, if it is one
    """

    frame_id: FrameId
    region_id: RegionId
    category: Category
    score: float
    bbox: tuple[float, float, float, float]
    needle: NeedleId | None = None

    @classmethod
    def of(cls, region: MappedRegion) -> Self:
        """A region of the map."""
        x, y, width, height = region.bbox
        return cls(
            region.frame_id,
            region.region_id,
            region.category,
            region.score,
            (x, y, width, height),
            NeedleId(region.needle) if region.needle else None,
        )


@dataclass(frozen=True)
class RegionShortlist:
    """A named shortlist of regions, and who made it when."""

    name: str
    by: str
    at: datetime
    regions: tuple[ListedRegion, ...]

    @property
    def frames(self) -> frozenset[FrameId]:
        """The frames of the regions."""
        return frozenset(region.frame_id for region in self.regions)


@dataclass(frozen=True)
class ShortlistSummary:
    """A shortlist of regions without them.

    Attributes
    ----------
    regions, frames : their numbers
    """

    name: str
    by: str
    at: datetime
    regions: int
    frames: int


class RegionShortlists(Protocol):
    """Shortlists of regions by name."""

    async def summaries(self) -> Sequence[ShortlistSummary]:
        """Every shortlist, the latest first; its regions are only counted.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def find(self, name: str) -> RegionShortlist | None:
        """The shortlist of this name; None if there is none."""
        ...

    async def add(self, shortlist: RegionShortlist) -> bool:
        """Store a shortlist; False if its name is taken, or there are too many."""
        ...

    async def drop(self, name: str) -> None:
        """Delete a shortlist, if it is there."""
        ...
