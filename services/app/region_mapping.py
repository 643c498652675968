"""Draw the map of regions for the review page, in the retriever's background."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from services.contracts.identity import (
    Category,
    DetectorId,
    FamilyId,
    FrameId,
    ModelId,
    NeedleId,
    RegionId,
)
from services.contracts.needles import NeedleFound
from services.domain.ports.region_maps import MappedRegion, RegionMap
from services.domain.ports.vectors import (
    REGION_VECTORS,
    Point,
    VectorReader,
    collection_of,
    live_model,
)
from services.domain.statistics.principal_plane import PrincipalPlane
from services.runtime.stores.opening import Stores

MAX_REGIONS: Final = 100_000
"""Regions on the map. Point ids are hashes, so the first of them are an even sample of all."""
_AT_ONCE: Final = 2000


class _Needle(NamedTuple):
    needle: NeedleFound
    family: FamilyId | None


async def draw_region_map(stores: Stores, vectors: VectorReader, most: int = MAX_REGIONS) -> int:
    """Draw the map of the live model's regions again; returns their number.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    model = await live_model(vectors, REGION_VECTORS)
    if model is None:
        return 0
    points = await _sampled(vectors, model, most)
    if not points:
        return 0
    needles = await _needles(stores)
    tags = await _tags(stores, points)
    # Until the embedder has deleted them, erased frames have vectors, and one may be erased now:
    # whichever comes second, the tombstone or the map, sees the other.
    erased = await stores.tombstones.erased({_frame_of(point) for point in points})
    while True:
        points = [point for point in points if _frame_of(point) not in erased]
        drawn = await asyncio.to_thread(_drawn, model, points, needles, tags)
        await stores.region_maps.put(drawn)
        erased = await stores.tombstones.erased({_frame_of(point) for point in points})
        if not erased:
            return len(points)


async def _sampled(vectors: VectorReader, model: ModelId, most: int) -> list[Point]:
    points: list[Point] = []
    async for page in vectors.scan(collection_of(REGION_VECTORS, model), _AT_ONCE):
        # Annotated objects are no detections.
        points += [point for point in page if point.payload.get("detector")]
        if len(points) >= most:
            break
    return points[:most]


async def _tags(stores: Stores, points: Sequence[Point]) -> dict[FrameId, str]:
    """The tags of the points' frames, `key=value` by line; the map has the vehicle anyway."""
    found = await stores.frame_tags.of({_frame_of(point) for point in points})
    return {
        frame_id: "\n".join(f"{key}={tags[key]}" for key in sorted(tags) if key != "vehicle")
        for frame_id, tags in found.items()
    }


def _frame_of(point: Point) -> FrameId:
    return FrameId(str(point.payload["frame_id"]))


async def _needles(stores: Stores) -> dict[RegionId, _Needle]:
    found = [
        record.needle
        async for record in stores.needles.scan()
        if record.active and record.needle is not None
    ]
    families: dict[NeedleId, FamilyId] = {}
    for detector in {needle.detector for needle in found}:
        families |= await stores.family_marks.families(detector)
    return {needle.region_id: _Needle(needle, families.get(needle.needle_id)) for needle in found}


def _drawn(
    model: ModelId,
    points: Sequence[Point],
    needles: Mapping[RegionId, _Needle],
    tags: Mapping[FrameId, str],
) -> RegionMap:
    if not points:
        return RegionMap(model, [])
    matrix = np.stack([point.vector for point in points])
    places = PrincipalPlane.of(matrix).coordinates(matrix).round(4).tolist()
    return RegionMap(
        model,
        [
            _region(
                *(point, x, y, needles.get(RegionId(str(point.payload["region_id"])))),
                tags.get(_frame_of(point), ""),
            )
            for point, (x, y) in zip(points, places, strict=True)
        ],
    )


def _region(point: Point, x: float, y: float, known: _Needle | None, tags: str) -> MappedRegion:
    payload = point.payload
    left, top, width, height = (float(payload[name] or 0) for name in ("x", "y", "width", "height"))
    return MappedRegion(
        x,
        y,
        RegionId(str(payload["region_id"])),
        _frame_of(point),
        DetectorId(str(payload["detector"])),
        Category(str(payload["category"])),
        float(payload["score"] or 0),
        (left, top, width, height),
        str(payload["split"]),
        str(payload["vehicle_id"] or ""),
        known.needle.needle_id if known else "",
        known.needle.error_type.value if known else "",
        known.family or "" if known else "",
        tags,
    )
