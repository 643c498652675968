"""Pictures that benchmarks draw."""

import hashlib
import io

import numpy as np
from PIL import Image as Picture

from services.contracts.events import Image
from services.runtime.stores.opening import Stores


def drawn_picture(number: int, size: tuple[int, int], blocks: tuple[int, int]) -> bytes:
    """A JPEG of its own for every number.

    Parameters
    ----------
    size : width and height in pixels
    blocks : of colour, from side to side and from top to bottom
    """
    across, down = blocks
    colours = np.random.default_rng(number).integers(0, 256, (down, across, 3), dtype=np.uint8)
    file = io.BytesIO()
    Picture.fromarray(colours).resize(size, Picture.Resampling.BILINEAR).save(file, "JPEG")
    return file.getvalue()


def stored_picture(stores: Stores, content: bytes, size: tuple[int, int]) -> Image:
    """The picture in the blob store."""
    return Image(
        sha256=hashlib.sha256(content).hexdigest(),
        uri=stores.blobs.put(content),
        size_bytes=len(content),
        media_type="image/jpeg",
        width=size[0],
        height=size[1],
    )
