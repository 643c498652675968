"""Decodes images to upright RGB within limits; everything in Gazeloop decodes them this way."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple, Self

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin

from services.contracts.errors import InvalidImage
from services.runtime.image_container import (
    Container,
    MediaType,
    check_png_rows,
    open_container,
    truncated,
)
from services.runtime.settings import Settings

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PLUGINS = {
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/png": PngImagePlugin.PngImageFile,
}
_MAX_SIDE = 65_535
"""Longest side of a JPEG. Decoders allocate a pointer per row, so 50 million rows take 400 MB."""


@dataclass(frozen=True)
class ImageLimits:
    """Limits of an image's size, checked before it is decoded."""

    max_bytes: int
    max_pixels: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits in the settings."""
        return cls(settings.max_image_bytes, settings.max_image_pixels)


class ImageFacts(NamedTuple):
    """Facts about an image; width and height are upright, as from `decode_rgb`."""

    media_type: MediaType
    width: int
    height: int
    orientation: int = 1
    """EXIF orientation, 1 to 8, which `decode_rgb` applies to the stored pixels."""
    exif: bytes = b""
    xmp: bytes = b""


class Decoded(NamedTuple):
    """An upright RGB picture, maybe scaled; width and height are those of the full image."""

    picture: Image.Image
    width: int
    height: int


def inspect(content: bytes, limits: ImageLimits) -> ImageFacts:
    """Decode the whole image, and return its facts.

    Raises
    ------
    InvalidImage
        Its `reason` is one of `too_many_bytes`, `too_many_pixels`, `unsupported_format`,
        `truncated_image`, `too_many_scans` and `invalid_image`.
    """
    container = _bounded(content, limits)
    return _facts(container, _decode(container, limits))


def measure(content: bytes, limits: ImageLimits) -> ImageFacts:
    """The facts in the image's header; the pixels are not decoded.

    Raises
    ------
    InvalidImage
        As from `inspect`, if the header or the container is wrong.
    """
    container = _bounded(content, limits)
    return _facts(container, _opened(container, limits))


def decode_rgb(content: bytes, limits: ImageLimits) -> Image.Image:
    """Decode an image to upright RGB.

    Like OpenCV, browsers and annotation tools, it applies EXIF's orientation, so that annotators'
    boxes fit. It drops alpha, and keeps the upper 8 of 16 bits.

    Raises
    ------
    InvalidImage
        As from `inspect`.
    """
    container = _bounded(content, limits)
    return _upright(container, _decode(container, limits))


def decode_scaled(content: bytes, limits: ImageLimits, shorter: int | None) -> Decoded:
    """Decode like `decode_rgb`, or at a smaller scale, which is faster.

    A JPEG decoder can scale by 1/2, 1/4 and 1/8 in the cosine transform, which is nearly the
    average of the pixels. Other formats are decoded in full.

    Parameters
    ----------
    shorter : least number of pixels of the picture's shorter side, if the image has as many; None
        for full resolution

    Raises
    ------
    InvalidImage
        As from `inspect`.
    """
    container = _bounded(content, limits)
    picture = _opened(container, limits)
    facts = _facts(container, picture)
    if shorter is not None:
        picture.draft("RGB", (shorter, shorter))
    return Decoded(_upright(container, _loaded(container, picture)), facts.width, facts.height)


def _upright(container: Container, decoded: Image.Image) -> Image.Image:
    picture = _rgb(decoded)
    turn = _TURNS.get(container.orientation)
    return picture if turn is None else picture.transpose(turn)


def _bounded(content: bytes, limits: ImageLimits) -> Container:
    if len(content) > limits.max_bytes:
        detail = f"{len(content)} bytes; {limits.max_bytes} are allowed"
        raise InvalidImage(detail, reason="too_many_bytes")
    return open_container(content)


def _facts(container: Container, picture: Image.Image) -> ImageFacts:
    width, height = picture.size
    if container.orientation >= 5:  # noqa: PLR2004  # EXIF: 5 to 8 lie on their side
        width, height = height, width
    return ImageFacts(
        container.media_type, width, height, container.orientation, container.exif, container.xmp
    )


def _opened(container: Container, limits: ImageLimits) -> ImageFile.ImageFile:
    # Calls the plugins directly, because `Image.open` warns of large images by a limit of the
    # whole process. Here the settings' limit is checked, after the header and before any pixel.
    with _translated():
        picture = _PLUGINS[container.media_type](BytesIO(container.pixels))
    width, height = picture.size
    if width * height > limits.max_pixels or max(width, height) > _MAX_SIDE:
        detail = f"{width} x {height} pixels; {limits.max_pixels} are allowed, {_MAX_SIDE} a side"
        raise InvalidImage(detail, reason="too_many_pixels")
    return picture


def _decode(container: Container, limits: ImageLimits) -> ImageFile.ImageFile:
    return _loaded(container, _opened(container, limits))


def _loaded(container: Container, picture: ImageFile.ImageFile) -> ImageFile.ImageFile:
    if container.media_type == "image/png":
        check_png_rows(container.pixels)
    with _translated():
        picture.load()
    return picture


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if "truncated" in str(exc):
            truncated()
        raise InvalidImage(f"broken: {exc}") from exc
    except (SyntaxError, ValueError, EOFError) as exc:
        raise InvalidImage(f"broken: {exc}") from exc


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        upper = np.asarray(picture).astype(np.int64) >> 8
        return Image.fromarray(upper.astype(np.uint8)).convert("RGB")
    # `convert` copies a picture that is RGB already, which takes as long as decoding a large JPEG.
    return picture if picture.mode == "RGB" else picture.convert("RGB")
