"""Small pictures made once: crops and thumbnails on disk, the least used thrown away."""

import asyncio
import hashlib
import os
import tempfile
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import structlog
from PIL import Image as Pictures
from PIL import ImageDraw

from services.contracts.events import Image
from services.contracts.identity import Box
from services.domain.ports.blobs import BlobStore
from services.runtime.images import ImageLimits, decode_rgb

log = structlog.get_logger(__name__)

_QUALITY = 86
_MAKERS = 2
"""Pictures decoded at once: each may take as much memory as the largest image."""
_COLOUR, _CASING = (255, 165, 31), (20, 20, 20)
_FORM = "1"
"""Part of every name; a new one leaves old files to be thrown away."""


class Wanted(NamedTuple):
    """A part of an image at a size; the whole where no part is given.

    Attributes
    ----------
    outline : a region that is drawn into the picture, where no SVG lies over it
    """

    image: Image
    window: Box | None
    width: int
    height: int
    outline: Box | None = None

    @property
    def name(self) -> str:
        """What the picture is called: its content, so it may be kept for ever."""
        text = repr((_FORM, self.image.sha256, *self[1:]))
        return hashlib.sha256(text.encode()).hexdigest()


class PictureCache:
    """JPEGs in a folder, never more than `max_bytes` together.

    Parameters
    ----------
    folder : made where it is missing; what is in it already is used
    """

    def __init__(self, folder: Path, max_bytes: int, blobs: BlobStore, limits: ImageLimits) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._blobs = blobs
        self._limits = limits
        self._sizes: OrderedDict[str, int] | None = None
        self._looking = asyncio.Lock()
        self._total = 0
        self._making: dict[str, asyncio.Future[bytes]] = {}
        self._makers = asyncio.Semaphore(_MAKERS)

    async def get(self, wanted: Wanted) -> bytes:
        """The JPEG; those who ask for the same one at once wait for one making of it.

        Raises
        ------
        MissingImage, InvalidImage
            The image is gone, or is none.
        StoreUnavailable
            The blob store does not answer.
        """
        sizes = await self._known()
        name = wanted.name
        if name in sizes:
            sizes.move_to_end(name)
            try:
                return await asyncio.to_thread((self._folder / name).read_bytes)
            except OSError:
                self._total -= sizes.pop(name, 0)
        if name not in self._making:
            self._making[name] = asyncio.ensure_future(self._make(wanted))
        return await asyncio.shield(self._making[name])

    async def _known(self) -> OrderedDict[str, int]:
        """What is in the folder, looked up once: a second look would forget what was made since."""
        async with self._looking:
            if self._sizes is None:
                self._sizes = await asyncio.to_thread(self._found)
                self._total = sum(self._sizes.values())
            return self._sizes

    async def _make(self, wanted: Wanted) -> bytes:
        try:
            async with self._makers:
                content = await asyncio.to_thread(self._draw, wanted)
                await self._keep(wanted.name, content)
                return content
        finally:
            del self._making[wanted.name]

    async def _keep(self, name: str, content: bytes) -> None:
        gone = self._admit(name, len(content))
        try:
            await asyncio.to_thread(self._write, name, content, gone)
        except OSError as exc:
            # A picture that cannot be kept is made again: slower, and nothing worse.
            log.warning("picture_not_kept", folder=str(self._folder), error=str(exc))

    def _admit(self, name: str, size: int) -> list[str]:
        assert self._sizes is not None  # `get` has looked
        self._sizes[name] = size
        self._total += size
        gone = []
        while self._total > self._max_bytes and len(self._sizes) > 1:
            oldest, freed = self._sizes.popitem(last=False)
            self._total -= freed
            gone.append(oldest)
        return gone

    def _draw(self, wanted: Wanted) -> bytes:
        picture = decode_rgb(self._blobs.get(wanted.image.uri), self._limits)
        if wanted.window is not None:
            x, y, width, height = wanted.window
            picture = picture.crop((int(x), int(y), int(x + width), int(y + height)))
        resampling = Pictures.Resampling.LANCZOS
        picture = picture.resize((wanted.width, wanted.height), resampling, reducing_gap=2.0)
        if wanted.outline is not None and wanted.window is not None:
            _outline(picture, wanted.outline, wanted.window)
        out = BytesIO()
        picture.save(out, "JPEG", quality=_QUALITY)
        return out.getvalue()

    def _write(self, name: str, content: bytes, gone: list[str]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for text in gone:
            (self._folder / text).unlink(missing_ok=True)
        descriptor, aside = tempfile.mkstemp(prefix=".making-", dir=self._folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(aside).replace(self._folder / name)

    def _found(self) -> OrderedDict[str, int]:
        if not self._folder.is_dir():
            return OrderedDict()
        kept = []
        for path in self._folder.iterdir():
            if path.name.startswith("."):
                path.unlink(missing_ok=True)
            else:
                kept.append((path.stat(), path.name))
        kept.sort(key=lambda item: item[0].st_mtime)
        return OrderedDict((name, stat.st_size) for stat, name in kept)


def _outline(picture: Pictures.Image, region: Box, window: Box) -> None:
    scale = picture.width / window[2]
    x, y = (region[0] - window[0]) * scale, (region[1] - window[1]) * scale
    right, bottom = x + region[2] * scale, y + region[3] * scale
    draw = ImageDraw.Draw(picture)
    draw.rectangle((x - 3, y - 3, right + 3, bottom + 3), outline=_CASING, width=4)
    draw.rectangle((x - 2, y - 2, right + 2, bottom + 2), outline=_COLOUR, width=2)
