"""Finds frames by a picture, or by a region of one, and draws what was found."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from services.contracts.errors import InvalidRecord, InvalidSettings
from services.contracts.identity import Box, FrameId
from services.domain.ports.blobs import BlobStore
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    Hit,
    Vector,
    VectorStore,
    Where,
    collection_of,
    live_model,
)
from services.embedder.embedder import Embedder
from services.embedder.logic import scaled_boxes
from services.runtime.images import ImageLimits, decode_rgb, decode_scaled
from services.runtime.montage import Tile, montage

_DEPTH = 10
"""Regions asked for per frame that is wanted: a frame may have several that are alike."""


@dataclass(frozen=True)
class SearchQuery:
    """What is searched for.

    Attributes
    ----------
    content : of the picture's file
    box : a region of the picture; none for the picture as a whole
    """

    content: bytes
    box: Box | None
    where: Where
    limit: int


@dataclass(frozen=True)
class Found:
    """A frame that resembles what was asked for, by its region or as a whole."""

    hit: Hit
    frame: FrameRecord

    @property
    def box(self) -> Box | None:
        """The region, where regions were searched."""
        payload = self.hit.payload
        if "x" not in payload:
            return None
        x, y, width, height = (float(payload[name] or 0) for name in ("x", "y", "width", "height"))
        return x, y, width, height


async def search(
    asked: SearchQuery,
    embedder: Embedder,
    vectors: VectorStore,
    frames: FrameStore,
    limits: ImageLimits,
) -> list[Found]:
    """The most similar frames, best first, each once.

    Raises
    ------
    InvalidSettings
        The vectors in store are of another embedding model than the embedder's, or there are none.
    InvalidImage
        The picture cannot be read.
    InvalidRecord
        The region lies outside of it.
    """
    alias = FRAME_VECTORS if asked.box is None else REGION_VECTORS
    await _check_model(alias, embedder, vectors)
    vector = await asyncio.to_thread(_vector, asked, embedder, limits)
    depth = asked.limit * (1 if asked.box is None else _DEPTH)
    hits = await vectors.nearest(
        collection_of(alias, embedder.model_id), vector, asked.where, depth
    )
    records = await frames.load({_frame_of(hit) for hit in hits})
    best: dict[FrameId, Found] = {}
    for hit in hits:
        frame_id = _frame_of(hit)
        if frame_id in records and frame_id not in best:
            best[frame_id] = Found(hit, records[frame_id])
    return list(best.values())[: asked.limit]


async def _check_model(alias: str, embedder: Embedder, vectors: VectorStore) -> None:
    live = await live_model(vectors, alias)
    if live is None:
        raise InvalidSettings("nothing is embedded here yet, so there is nothing to search")
    if live != embedder.model_id:
        raise InvalidSettings(
            f"the vectors here are of the model {live}, and the embedder that is set gives"
            f" {embedder.model_id}: leave GAZELOOP_EMBEDDER out for the one that made them, or set"
            " it and what else their name says"
        )


def _vector(asked: SearchQuery, embedder: Embedder, limits: ImageLimits) -> Vector:
    """As the embedder sees a stored frame: decoded no larger than it is looked at."""
    seen = decode_scaled(asked.content, limits, embedder.decoded_side)
    if asked.box is not None and not _meets(asked.box, seen.width, seen.height):
        raise InvalidRecord(
            f"the box lies outside of the picture, which is {seen.width} by {seen.height} pixels"
        )
    whole = (seen.width, seen.height)
    boxes = scaled_boxes([asked.box] if asked.box else [], seen.picture.size, whole)
    (vectors,) = embedder.embed([seen.picture], [boxes])
    return vectors.frame if asked.box is None else np.asarray(vectors.regions[0])


def _meets(box: Box, width: int, height: int) -> bool:
    x, y, across, down = box
    return x < width and y < height and x + across > 0 and y + down > 0


def _frame_of(hit: Hit) -> FrameId:
    return FrameId(str(hit.payload["frame_id"]))


def drawn(
    asked: SearchQuery, found: Sequence[Found], blobs: BlobStore, limits: ImageLimits
) -> Image.Image:
    """What was asked for on the left, what was found on the right."""
    picture = decode_rgb(asked.content, limits)
    whole = (0.0, 0.0, float(picture.width), float(picture.height))
    left = Tile(picture, asked.box or whole, (), (), ("what you asked for",))
    tiles = [_tile(place, item, blobs, limits) for place, item in enumerate(found, start=1)]
    return montage("Search", left, tiles)


def _tile(place: int, found: Found, blobs: BlobStore, limits: ImageLimits) -> Tile:
    captured = found.frame.captured
    assert captured is not None  # only captured frames are embedded
    picture = decode_rgb(blobs.get(captured.image.uri), limits)
    whole = (0.0, 0.0, float(picture.width), float(picture.height))
    truth = found.frame.ground_truth
    category = found.hit.payload.get("category")
    headline = f"{place}. {category or 'frame'}: similarity {found.hit.similarity:.3f}"
    return Tile(
        picture,
        found.box or whole,
        (),
        [annotation.bbox for annotation in truth.annotations] if truth is not None else (),
        (headline, f"drive {captured.drive_id}" if captured.drive_id else "", captured.frame_id),
    )
