"""Crops and thumbnails, cached on disk; the least recently used are deleted."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import structlog
from cachetools import LRUCache
from PIL import Image as Pictures
from PIL import ImageDraw

from services.contracts.identity import Box
from services.domain.redaction import ShownImage
from services.runtime.shown_images import ShownImages

log = structlog.get_logger(__name__)

_QUALITY = 86
_CONCURRENT = 2
"""Images decoded at once: each may take as much memory as the largest allowed image."""
_COLOUR, _CASING = (255, 165, 31), (20, 20, 20)
_FORM = "1"
"""The format's version, part of every name: after a change, old files are evicted."""


class PictureRequest(NamedTuple):
    """A part of an image at a size in pixels; the whole image if no window is given.

    Attributes
    ----------
    outline : a region to draw into the picture, for pages without an SVG overlay
    """

    shown: ShownImage
    window: Box | None
    width: int
    height: int
    outline: Box | None = None

    @property
    def name(self) -> str:
        """The file name: the image, and a hash of all else that determines the content."""
        text = repr((_FORM, self.shown.digest, *self[1:]))
        return f"{self.shown.image.sha256}-{hashlib.sha256(text.encode()).hexdigest()}"


class PictureCache:
    """JPEGs in a folder, at most `max_bytes` in total.

    Parameters
    ----------
    folder : created if missing; pictures in it are used
    """

    def __init__(self, folder: Path, max_bytes: int, images: ShownImages) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._images = images
        self._files: _Files | None = None
        self._listing = asyncio.Lock()
        self._rendering: dict[str, asyncio.Future[bytes]] = {}
        self._rendering_slots = asyncio.Semaphore(_CONCURRENT)

    async def get(self, wanted: PictureRequest) -> bytes:
        """The JPEG; concurrent requests for the same picture share one rendering.

        Raises
        ------
        MissingImage, InvalidImage
            The image is missing, or unreadable.
        StoreUnavailable
            The blob store does not answer.
        """
        files = await self._known()
        name = wanted.name
        if files.get(name):  # which counts as a use
            try:
                return await asyncio.to_thread((self._folder / name).read_bytes)
            except OSError:
                files.pop(name, None)
        if name not in self._rendering:
            self._rendering[name] = asyncio.ensure_future(self._render(wanted))
        return await asyncio.shield(self._rendering[name])

    async def drop_unshown(
        self, shown: Callable[[AbstractSet[str]], Awaitable[AbstractSet[str]]]
    ) -> None:
        """Delete the pictures of images that are erased, or deleted because they were too old.

        Parameters
        ----------
        shown : which of these images, by their sha256, some frame shows
        """
        files = await self._known()
        images = {_image_of(name) for name in files}
        gone = images - await shown(images) if images else set()
        names = [name for name in files if _image_of(name) in gone]
        for name in names:
            files.pop(name)
        await asyncio.to_thread(self._delete, names)

    async def _known(self) -> "_Files":
        """The files in the folder, listed once; afterwards kept up to date in memory."""
        async with self._listing:
            if self._files is None:
                self._files = await asyncio.to_thread(self._found)
            return self._files

    async def _render(self, wanted: PictureRequest) -> bytes:
        try:
            async with self._rendering_slots:
                content = await asyncio.to_thread(self._draw, wanted)
                await self._keep(wanted.name, content)
                return content
        finally:
            del self._rendering[wanted.name]

    async def _keep(self, name: str, content: bytes) -> None:
        if len(content) > self._max_bytes:
            return
        files = await self._known()
        try:
            await asyncio.to_thread(self._write, name, content)
            # Listed only now: what is deleted while it is being written would stay for good.
            files[name] = len(content)
            await asyncio.to_thread(self._delete, files.taken_evicted())
        except OSError as exc:
            # A picture that cannot be stored is rendered again when it is needed.
            log.warning("picture_not_kept", folder=str(self._folder), error=str(exc))

    def _draw(self, wanted: PictureRequest) -> bytes:
        picture = self._images.pixels(wanted.shown)
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

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(prefix=".making-", dir=self._folder)
        temporary = Path(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(self._folder / name)
        finally:
            temporary.unlink(missing_ok=True)

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _found(self) -> "_Files":
        files = _Files(self._max_bytes)
        if not self._folder.is_dir():
            return files
        kept = []
        for path in self._folder.iterdir():
            stat = path.stat()
            if path.name.startswith(".") or stat.st_size > self._max_bytes:
                path.unlink(missing_ok=True)
            else:
                kept.append((stat, path.name))
        kept.sort(key=lambda item: item[0].st_mtime)
        files.update((name, stat.st_size) for stat, name in kept)
        return files


def _image_of(name: str) -> str:
    """The sha256 of the image that a file shows a part of; older files are of none."""
    image, separator, _ = name.partition("-")
    return image if separator else ""


class _Files(LRUCache[str, int]):
    """Sizes of the files by name, in bytes; notes which files no longer fit."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=lambda size: size)
        self._evicted: list[str] = []

    def popitem(self) -> tuple[str, int]:
        name, size = super().popitem()
        self._evicted.append(name)
        return name, size

    def taken_evicted(self) -> list[str]:
        """The files to delete; the next call names only later ones."""
        taken, self._evicted = self._evicted, []
        return taken


def _outline(picture: Pictures.Image, region: Box, window: Box) -> None:
    scale = picture.width / window[2]
    x, y = (region[0] - window[0]) * scale, (region[1] - window[1]) * scale
    right, bottom = x + region[2] * scale, y + region[3] * scale
    draw = ImageDraw.Draw(picture)
    draw.rectangle((x - 3, y - 3, right + 3, bottom + 3), outline=_CASING, width=4)
    draw.rectangle((x - 2, y - 2, right + 2, bottom + 2), outline=_COLOUR, width=2)
