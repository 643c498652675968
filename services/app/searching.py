"""Find frames similar to an image or to a region of it, and draw them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from services.contracts.errors import InvalidRecord, InvalidSettings
from services.contracts.identity import Box, FrameId
from services.domain.arrays import Vector
from services.domain.ports.frames import FrameRecord, FrameStore
from services.domain.ports.vectors import (
    FRAME_VECTORS,
    REGION_VECTORS,
    Hit,
    VectorReader,
    Where,
    collection_of,
    live_model,
)
from services.domain.redaction import HiddenImage
from services.embedder.embedder import Embedder
from services.embedder.logic import scaled_boxes
from services.runtime.images import ImageLimits, decode_rgb, decode_scaled
from services.runtime.montage import Tile, montage
from services.runtime.shown_images import ShownImages

_BLANK = (320, 240)
"""Pixels in place of a query's image, where the query is a text."""
_DEPTH = 10
"""Regions requested per wanted frame, because a frame may have several similar ones."""


@dataclass(frozen=True)
class SearchQuery:
    """A search by image.

    Attributes
    ----------
    content : the image file's bytes
    box : a region of the image; None for the whole image
    """

    content: bytes
    box: Box | None
    where: Where
    limit: int


@dataclass(frozen=True)
class Found:
    """A frame similar to the query, by a region or as a whole."""

    hit: Hit
    frame: FrameRecord

    @property
    def box(self) -> Box | None:
        """The region, if regions were searched."""
        payload = self.hit.payload
        if "x" not in payload:
            return None
        x, y, width, height = (float(payload[name] or 0) for name in ("x", "y", "width", "height"))
        return x, y, width, height


@dataclass(frozen=True)
class TextQuery:
    """A search by a text.

    Attributes
    ----------
    vector : the text's, in the space of a frame's vector
    regions : whether regions are searched instead of frames
    """

    text: str
    vector: Vector
    regions: bool
    where: Where
    limit: int


async def search_text(
    query: TextQuery, embedder: Embedder, vectors: VectorReader, frames: FrameStore
) -> list[Found]:
    """The frames that a text describes best, as a whole or by a region; best first.

    Raises
    ------
    InvalidSettings
        There are no stored vectors, they are of another model than the embedder's, or the regions'
        are not in the text's space.
    """
    alias = REGION_VECTORS if query.regions else FRAME_VECTORS
    await _check_model(alias, embedder, vectors)
    vector = text_vector(query.vector, embedder, regions=query.regions)
    return await _nearest(collection_of(alias, embedder.model_id), vector, query, vectors, frames)


def text_vector(vector: Vector, embedder: Embedder, *, regions: bool) -> Vector:
    """A text's vector in the space of frames or of regions.

    Raises
    ------
    InvalidSettings
        It is not of that space.
    """
    if regions:
        return _of_regions(vector, embedder)
    if vector.shape != (embedder.frame_dimension,):
        raise InvalidSettings(
            f"the text's vector has {len(vector)} numbers, a frame's {embedder.frame_dimension}"
        )
    return vector


def _of_regions(vector: Vector, embedder: Embedder) -> Vector:
    """The vector of a region whose two crops both match the text."""
    crops, rest = divmod(embedder.region_dimension, len(vector))
    if len(vector) != embedder.frame_dimension or rest or crops < 2:  # noqa: PLR2004  # crop, context
        raise InvalidSettings(
            "regions can be searched by text where GAZELOOP_REGION_ENCODER is crop: those of roi"
            " are not in the text's space"
        )
    return np.tile(vector, crops) / np.float32(np.sqrt(crops))


async def search(
    query: SearchQuery,
    embedder: Embedder,
    vectors: VectorReader,
    frames: FrameStore,
    limits: ImageLimits,
) -> list[Found]:
    """The most similar frames, best first, without duplicates.

    Raises
    ------
    InvalidSettings
        There are no stored vectors, or they are of another model than the embedder's.
    InvalidImage
        The image is unreadable.
    InvalidRecord
        The region is outside the image.
    """
    alias = FRAME_VECTORS if query.box is None else REGION_VECTORS
    await _check_model(alias, embedder, vectors)
    vector = await asyncio.to_thread(image_vector, query.content, query.box, embedder, limits)
    return await _nearest(collection_of(alias, embedder.model_id), vector, query, vectors, frames)


async def _nearest(
    collection: str,
    vector: Vector,
    query: SearchQuery | TextQuery,
    vectors: VectorReader,
    frames: FrameStore,
) -> list[Found]:
    regions = query.regions if isinstance(query, TextQuery) else query.box is not None
    depth = query.limit * (_DEPTH if regions else 1)
    hits = await vectors.nearest(collection, vector, query.where, depth)
    records = await frames.load({_frame_of(hit) for hit in hits})
    best: dict[FrameId, Found] = {}
    for hit in hits:
        frame_id = _frame_of(hit)
        if frame_id in records and frame_id not in best:
            best[frame_id] = Found(hit, records[frame_id])
    return list(best.values())[: query.limit]


async def _check_model(alias: str, embedder: Embedder, vectors: VectorReader) -> None:
    live = await live_model(vectors, alias)
    if live is None:
        raise InvalidSettings("no vectors are stored yet, so there is nothing to search")
    if live != embedder.model_id:
        raise InvalidSettings(
            f"the stored vectors are of the model {live}, but the configured embedder is"
            f" {embedder.model_id}: unset GAZELOOP_EMBEDDER, or configure the stored model"
        )


def image_vector(
    content: bytes, box: Box | None, embedder: Embedder, limits: ImageLimits
) -> Vector:
    """The vector of an image, or of a region of it, decoded at the size that the embedder uses.

    Raises
    ------
    InvalidImage
        The image is unreadable.
    InvalidRecord
        The region is outside the image.
    """
    seen = decode_scaled(content, limits, embedder.decoded_side)
    if box is not None and not _meets(box, seen.width, seen.height):
        raise InvalidRecord(
            f"the box lies outside the image, which is {seen.width} by {seen.height} pixels"
        )
    whole = (seen.width, seen.height)
    boxes = scaled_boxes([box] if box else [], seen.picture.size, whole)
    (vectors,) = embedder.embed([seen.picture], [boxes])
    return vectors.frame if box is None else np.asarray(vectors.regions[0])


def _meets(box: Box, width: int, height: int) -> bool:
    x, y, across, down = box
    return x < width and y < height and x + across > 0 and y + down > 0


def _frame_of(hit: Hit) -> FrameId:
    return FrameId(str(hit.payload["frame_id"]))


def drawn(
    query: SearchQuery | TextQuery, found: Sequence[Found], images: ShownImages, limits: ImageLimits
) -> Image.Image:
    """Draw the query on the left and the results on the right, but those that are hidden."""
    text = query.text if isinstance(query, TextQuery) else "query"
    picture = (
        Image.new("RGB", _BLANK, "grey")
        if isinstance(query, TextQuery)
        else decode_rgb(query.content, limits)
    )
    whole = (0.0, 0.0, float(picture.width), float(picture.height))
    box = query.box if isinstance(query, SearchQuery) else None
    left = Tile(picture, box or whole, (), (), (text,))
    tiles = [_tile(place, item, images) for place, item in enumerate(found, start=1)]
    return montage("Search", left, [tile for tile in tiles if tile is not None])


def _tile(place: int, found: Found, images: ShownImages) -> Tile | None:
    captured = found.frame.captured
    assert captured is not None  # only captured frames are embedded
    try:
        picture = images.pixels(images.of_frame(found.frame))
    except HiddenImage:
        return None
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
