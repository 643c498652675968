"""Verifies a backup: that every file and every image is what was written."""

import asyncio
from dataclasses import dataclass

from services.app.backup.backups import Backups
from services.app.backup.manifest import Manifest
from services.contracts.errors import MissingImage
from services.domain.chunks import chunks

_READ_AT_ONCE = 8


@dataclass(frozen=True)
class Verified:
    """What was verified, and the URIs of images that are missing or damaged."""

    manifest: Manifest
    damaged: list[str]


async def verify(folder: Backups, name: str = "") -> Verified:
    """Read all of a backup; of the newest one by default.

    Raises
    ------
    NoBackup
        There is no such backup.
    DamagedBackup
        A file is missing or was changed.
    """
    manifest = folder.manifest(name)
    await asyncio.to_thread(folder.check_files, manifest)
    uris = list(folder.image_uris(manifest))
    damaged = []
    for batch in chunks(uris, _READ_AT_ONCE):
        sound = await asyncio.gather(*(asyncio.to_thread(_is_sound, folder, uri) for uri in batch))
        damaged += [uri for uri, is_sound in zip(batch, sound, strict=True) if not is_sound]
    return Verified(manifest, damaged)


def _is_sound(folder: Backups, uri: str) -> bool:
    try:
        folder.images.get(uri)
    except MissingImage:
        return False
    return True
