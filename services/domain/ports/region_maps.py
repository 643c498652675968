"""The map of regions: the coordinates of their vectors in a plane, and attributes to colour by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.contracts.identity import Category, DetectorId, FrameId, ModelId, RegionId


class MappedRegion(NamedTuple):
    """A detected region on the map.

    Attributes
    ----------
    bbox : x, y, width, height, in pixels of the frame
    needle, error_type, family : of an active needle, else empty
    tags : of its frame, `key=value` by line
    """

    x: float
    y: float
    region_id: RegionId
    frame_id: FrameId
    detector: DetectorId
    category: Category
    score: float
    bbox: Sequence[float]
    split: str
    vehicle: str
    needle: str = ""
    error_type: str = ""
    family: str = ""
    tags: str = ""


@dataclass(frozen=True)
class RegionMap:
    """The regions of one map, and the model whose vectors it shows."""

    model: ModelId
    regions: Sequence[MappedRegion]


@dataclass(frozen=True)
class MapSize:
    """How many regions a map has, of which model, and a digest of its content."""

    model: ModelId
    count: int
    digest: str


class RegionMaps(Protocol):
    """The latest map."""

    async def size(self) -> MapSize | None:
        """The size of the map; None before the first one."""
        ...

    async def put(self, drawn: RegionMap) -> None:
        """Replace the map.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...

    async def find(self) -> RegionMap | None:
        """The map; None before the first one."""
        ...
