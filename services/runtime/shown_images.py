"""Images as people see them: the one place that reads frames' images for pages and exports."""

import math
from io import BytesIO
from typing import Final, Self

from PIL import Image

from services.contracts.identity import Box, Category
from services.domain.ports.blobs import BlobStore
from services.domain.ports.frames import FrameRecord
from services.domain.redaction import RedactionRule, RedactionStyle, ShownImage
from services.runtime.images import ImageLimits, decode_rgb
from services.runtime.settings import Settings

_QUALITY: Final = 95
_CELLS: Final = 4
"""A blurred region keeps so many colours along each side: fewer than a face or a plate needs."""


class ShownImages:
    """Reads images, with the regions of the redacted categories made unrecognisable."""

    def __init__(self, blobs: BlobStore, limits: ImageLimits, rule: RedactionRule) -> None:
        self._blobs = blobs
        self._limits = limits
        self._rule = rule

    @classmethod
    def of(cls, blobs: BlobStore, settings: Settings) -> Self:
        """By the rule in the settings."""
        return cls(blobs, ImageLimits.of(settings), redaction_rule(settings))

    @classmethod
    def originals(cls, blobs: BlobStore, settings: Settings) -> Self:
        """As they were captured, for who is entitled to that."""
        return cls(blobs, ImageLimits.of(settings), RedactionRule())

    @property
    def redacts(self) -> bool:
        """Whether anything is redacted, so that a frame's image may change later."""
        return bool(self._rule.categories)

    def of_frame(self, frame: FrameRecord) -> ShownImage:
        """What people see of a frame; nothing is read yet.

        Raises
        ------
        HiddenImage
            Nothing, as long as the detector has not looked at it.
        DeletedImage
            The image was too old.
        MissingImage
            The frame has no image yet.
        """
        return self._rule.shown(frame)

    def pixels(self, shown: ShownImage) -> Image.Image:
        """The image, upright RGB; blocks.

        Raises
        ------
        MissingImage, InvalidImage
            The image is missing, or unreadable.
        StoreUnavailable
            The blob store does not answer.
        """
        picture = decode_rgb(self._blobs.get(shown.image.uri), self._limits)
        for region in shown.regions:
            _redact(picture, region, shown.style)
        return picture

    def content(self, shown: ShownImage) -> bytes:
        """The image in its own format; byte for byte as it was captured, if nothing is redacted.

        Raises
        ------
        MissingImage, InvalidImage, StoreUnavailable
            As from `pixels`.
        """
        if not shown.regions:
            return self._blobs.get(shown.image.uri)
        out = BytesIO()
        picture = self.pixels(shown)
        if shown.image.media_type == "image/png":
            picture.save(out, "PNG")
        else:
            picture.save(out, "JPEG", quality=_QUALITY, subsampling=0)
        return out.getvalue()


def redaction_rule(settings: Settings) -> RedactionRule:
    """The rule in the settings."""
    return RedactionRule(
        frozenset(Category(name) for name in settings.redacted_categories),
        settings.redact_detector,
        RedactionStyle(settings.redact_style),
        hides_undetected=settings.redact_undetected == "hide",
    )


def _redact(picture: Image.Image, region: Box, style: RedactionStyle) -> None:
    x, y, width, height = region
    area = (math.floor(x), math.floor(y), math.ceil(x + width), math.ceil(y + height))
    if area[0] >= area[2] or area[1] >= area[3]:
        return
    if style is RedactionStyle.BLACK:
        picture.paste((0, 0, 0), area)
        return
    part = picture.crop(area)
    # The average of large cells, so that no filter can restore what was there.
    small = part.resize((_CELLS, _CELLS), Image.Resampling.BOX)
    blurred = small.resize(part.size, Image.Resampling.BILINEAR)
    picture.paste(blurred, area)
