"""Verifies a backup: that every file and every image is what was written."""

import asyncio
from dataclasses import dataclass

from services.app.backup.backups import Backups
from services.app.backup.images import damaged_images
from services.app.backup.manifest import Manifest


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
    return Verified(manifest, await damaged_images(folder.images, uris))
