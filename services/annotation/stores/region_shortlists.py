"""Shortlists that people make themselves, of regions that they circle on the map."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final, Protocol, Self

from services.contracts.identity import Category, FrameId, NeedleId, RegionId
from services.runtime.stores.mongo import Database, Document, translated
from services.runtime.stores.region_maps import MappedRegion

MOST_SHORTLISTS: Final = 200
"""Of all people: more would not be a short list."""
MOST_REGIONS: Final = 5000
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


class MongoRegionShortlists:
    """The collection `region_shortlists`."""

    def __init__(self, database: Database) -> None:
        self._shortlists = database["region_shortlists"]

    async def summaries(self) -> Sequence[ShortlistSummary]:
        # Counted by the server: all regions of all shortlists are up to 200 MB.
        counts = {
            "by": 1,
            "at": 1,
            "regions": {"$size": "$regions"},
            "frames": {"$size": {"$setUnion": ["$regions.frame_id"]}},
        }
        with translated():
            found = await self._shortlists.find({}, counts).sort([("at", -1), ("_id", 1)]).to_list()
        return [ShortlistSummary(name=item.pop("_id"), **item) for item in found]

    async def find(self, name: str) -> RegionShortlist | None:
        with translated():
            found = await self._shortlists.find_one({"_id": name})
        return _shortlist(found) if found else None

    async def add(self, shortlist: RegionShortlist) -> bool:
        document: Document = {
            "by": shortlist.by,
            "at": shortlist.at,
            "regions": [asdict(region) for region in shortlist.regions],
        }
        with translated():
            if await self._shortlists.count_documents({}, limit=MOST_SHORTLISTS) == MOST_SHORTLISTS:
                return False
            stored = await self._shortlists.update_one(
                {"_id": shortlist.name}, {"$setOnInsert": document}, upsert=True
            )
        return stored.upserted_id is not None

    async def drop(self, name: str) -> None:
        with translated():
            await self._shortlists.delete_one({"_id": name})


def _shortlist(document: Document) -> RegionShortlist:
    names = [field.name for field in fields(ListedRegion)]
    return RegionShortlist(
        document["_id"],
        document["by"],
        document["at"],
        tuple(
            ListedRegion(**{name: region[name] for name in names} | {"bbox": (*region["bbox"],)})
            for region in document["regions"]
        ),
    )
