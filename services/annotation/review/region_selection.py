"""Which regions of the map a person has circled, and how the map is sent to the browser."""

import base64
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Final

import numpy as np
import orjson
from fastapi import HTTPException
from numpy.typing import NDArray

from services.domain.arrays import BoolArray
from services.domain.ports.region_maps import MappedRegion, RegionMap

_MAX_CORNERS: Final = 400
_MIN_CORNERS: Final = 3
_MAX_VALUES: Final = 12
"""Values of a text with a colour of their own, the most frequent ones; a legend has no more."""
_MAX_KEYS: Final = 8
"""Keys of tags that regions can be coloured by: each costs 100 kB for 100,000 regions."""
_OTHER: Final = "other"
_REDRAWN: Final = (
    "The map has been drawn again since, with other places for its regions, so your outline would"
    " circle other regions than you saw. Nothing was saved. Open the map and circle them again."
)

Outline = tuple[tuple[float, float], ...]
"""The corners of a polygon, in the map's coordinates."""


@dataclass(frozen=True)
class ColourBy:
    """Something that regions are coloured by."""

    name: str
    label: str
    value: Callable[[MappedRegion], str]


COLOURS: Final = (
    ColourBy("category", "category", lambda region: region.category),
    ColourBy("error", "error type of needles", lambda region: region.error_type),
    ColourBy("family", "family of needles", lambda region: region.family[:8]),
    ColourBy("split", "reference and haystack", lambda region: region.split),
    ColourBy("vehicle", "vehicle", lambda region: region.vehicle),
    ColourBy("detector", "detector", lambda region: region.detector),
)


def outline_of(text: str) -> Outline | None:
    """The polygon of an address, written as `x,y x,y …`; None if the text is not one."""
    try:
        corners = tuple((float(x), float(y)) for x, y in (c.split(",") for c in text.split()))
    except ValueError:
        return None
    finite = all(math.isfinite(value) for corner in corners for value in corner)
    return corners if finite and _MIN_CORNERS <= len(corners) <= _MAX_CORNERS else None


@dataclass(frozen=True)
class Selection:
    """What an outline circles.

    Attributes
    ----------
    regions : the regions inside the outline, highest score first
    places : the digest of the places of all regions, for addresses and forms with this outline
    """

    regions: Sequence[MappedRegion]
    places: str

    def check_places(self, seen: str) -> None:
        """Refuse an outline of another map, where it would circle other regions.

        Parameters
        ----------
        seen : the digest of the places that the outline was drawn around

        Raises
        ------
        HTTPException
            409: regions have other places now.
        """
        if seen != self.places:
            raise HTTPException(HTTPStatus.CONFLICT, _REDRAWN)


def selected(drawn: RegionMap | None, text: str) -> Selection | None:
    """The regions inside the polygon of an address; None without a polygon."""
    outline = outline_of(text)
    if outline is None:
        return None
    regions = drawn.regions if drawn else ()
    return Selection(circled(regions, outline), _places_digest(regions))


def _places_digest(regions: Sequence[MappedRegion]) -> str:
    # Only what decides which regions an outline circles: needles and tags change more often.
    places = orjson.dumps([(region.region_id, region.x, region.y) for region in regions])
    return blake2b(places, digest_size=16).hexdigest()


def circled(regions: Sequence[MappedRegion], outline: Outline) -> list[MappedRegion]:
    """The regions inside a polygon, highest score first.

    References
    ----------
    Shimrat, "Algorithm 112: position of point relative to polygon", 1962: a point is inside if a
    ray from it crosses the outline an odd number of times
    """
    places = np.array([(region.x, region.y) for region in regions]).reshape(-1, 2)
    inside = _inside(places, outline)
    found = [regions[k] for k in np.flatnonzero(inside).tolist()]
    return sorted(found, key=lambda region: (-region.score, region.region_id))


def _inside(places: NDArray[np.float64], outline: Outline) -> BoolArray:
    x, y = places[:, 0], places[:, 1]
    inside = np.zeros(len(places), bool)
    for (x0, y0), (x1, y1) in zip(outline, outline[1:] + outline[:1], strict=True):
        spans = (y0 > y) != (y1 > y)
        if y0 != y1:
            inside ^= spans & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def columns(regions: Sequence[MappedRegion]) -> dict[str, Any]:
    """The map as the page's script reads it: columns in base64, little-endian.

    Each colouring has the names of its values and one byte per region, 255 for none. Those by tags
    have the name `tag:` and the key. `digest` is what addresses with an outline carry.
    """
    tags = _tagged(regions)
    return {
        "digest": _places_digest(regions),
        "places": _packed(np.array([(region.x, region.y) for region in regions], "<f4")),
        "scores": _packed((np.array([region.score for region in regions]) * 255).astype("u1")),
        "colours": {
            colour.name: _coded([colour.value(region) for region in regions]) for colour in COLOURS
        }
        | {
            f"tag:{key}": _coded([region_tags.get(key, "") for region_tags in tags])
            for key in _keys(tags)
        },
    }


def _tagged(regions: Sequence[MappedRegion]) -> list[Mapping[str, str]]:
    """Each region's tags by key; regions of one frame share them."""
    texts = {region.tags for region in regions}
    by_text = {text: dict(line.split("=", 1) for line in text.splitlines()) for text in texts}
    return [by_text[region.tags] for region in regions]


def _keys(tags: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys with several values, those of the most regions first."""
    counts = Counter(key for region_tags in tags for key in region_tags)
    values = {
        key: {region_tags[key] for region_tags in tags if key in region_tags} for key in counts
    }
    several = [key for key in counts if len(values[key]) > 1]
    return sorted(several, key=lambda key: (-counts[key], key))[:_MAX_KEYS]


def _coded(values: Sequence[str]) -> Mapping[str, Any]:
    counts = Counter(values)
    ranked = sorted((name for name in counts if name), key=lambda name: (-counts[name], name))
    shown = ranked[:_MAX_VALUES]
    code = {name: number for number, name in enumerate(shown)} | {"": 255}
    coded = np.array([code.get(value, len(shown)) for value in values], "u1")
    others = [_OTHER] if len(ranked) > len(shown) else []
    return {"names": [*shown, *others], "codes": _packed(coded)}


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
