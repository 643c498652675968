"""The backups in one place, and the images of all of them once.

TO/images/ab/abcdef…            an image by its sha256
TO/backups/20260504T120000.123Z/
    manifest.json               what follows, with digests
    images.txt                  the images' digests, a line each
    mongodb/*.bson, vectors/*   documents and points, or snapshots of points
"""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from pydantic import ValidationError

from services.app.backup.manifest import FORM, KeptFile, Manifest
from services.contracts.errors import (
    DamagedBackup,
    DiskFull,
    NoBackup,
    StoreUnavailable,
)
from services.domain.ports.blobs import BlobStore

MANIFEST: Final = "manifest.json"
IMAGES: Final = "images.txt"
_READ_BYTES: Final = 1 << 20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class BackupPlace(Protocol):
    """Where backups are stored. A backup without a manifest is incomplete, and is not listed."""

    @property
    def images(self) -> BlobStore:
        """The images of all backups."""
        ...

    @property
    def disk(self) -> str:
        """The folder of this machine that a backup is written to and read from, for people."""
        ...

    def names(self) -> list[str]:
        """The whole backups, oldest first.

        Raises
        ------
        StoreUnavailable
            The place does not answer; this holds for every method.
        """
        ...

    def local(self, name: str, path: str) -> Path:
        """A file of a backup on this machine; where it would be, if there is none."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """A context in which no other process writes a backup to this place, if it has locks.

        Raises
        ------
        InvalidSettings
            Another process does.
        """
        ...

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A context with an empty folder for a new backup; what interrupted runs left is deleted.

        Raises
        ------
        InvalidSettings
            Another process writes a backup to this place.
        """
        ...

    def finish(self, name: str, folder: Path) -> None:
        """Make a written folder a backup, durably, its manifest last."""
        ...

    def remove(self, name: str) -> None:
        """Delete a backup, its manifest first: without it, it is none, however far this gets."""
        ...


class Backups:
    """The whole backups in a place."""

    def __init__(self, place: BackupPlace) -> None:
        self._place = place

    def __str__(self) -> str:
        return str(self._place)

    @property
    def images(self) -> BlobStore:
        """The images of all backups."""
        return self._place.images

    def names(self) -> list[str]:
        """The whole backups, oldest first."""
        return self._place.names()

    def manifest(self, name: str = "") -> Manifest:
        """A backup's manifest; of the newest one by default.

        Raises
        ------
        NoBackup
            There is no such backup.
        DamagedBackup
            The manifest cannot be read.
        """
        names = self.names()
        if not names or (name and name not in names):
            raise NoBackup(f"{self} holds no backup {name}".rstrip())
        path = self._place.local(name or names[-1], MANIFEST)
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except ValidationError as exc:
            raise DamagedBackup(f"{path} cannot be read: {exc}") from exc
        if manifest.form > FORM:
            raise DamagedBackup(f"{path} is of a later version of Gazeloop")
        return manifest

    def file(self, manifest: Manifest, path: str) -> Path:
        """A file of a backup, on this machine."""
        return self._place.local(manifest.name, path)

    def image_uris(self, manifest: Manifest) -> Iterator[str]:
        """The URIs of a backup's images."""
        with self.file(manifest, IMAGES).open(encoding="ascii") as lines:
            for line in lines:
                digest = line.strip()
                yield f"blob:{digest[:2]}/{digest}"

    def check_files(self, manifest: Manifest) -> None:
        """Compare the files of a backup with their digests; images are checked when read.

        Raises
        ------
        DamagedBackup
            A file is missing or was changed.
        """
        for name, listed in manifest.files.items():
            path = self.file(manifest, name)
            if not path.is_file() or digest_of(path) != listed.sha256:
                raise DamagedBackup(f"{path} is missing, or is not what was written")

    @contextmanager
    def writing(self, now: datetime) -> Iterator["UnfinishedBackup"]:
        """A new backup, which is not seen before `finish`.

        Raises
        ------
        InvalidSettings
            Another process writes a backup to this place.
        DiskFull
            A disk is full.
        """
        name = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
        with room_on(self._place.disk), self._place.writing(name) as folder:
            yield UnfinishedBackup(name, folder, self._place)

    def keep(self, number: int) -> int:
        """Delete all but the newest backups, and the images that no other has.

        Returns the number of deleted images.

        Raises
        ------
        InvalidSettings
            Another process writes a backup to this place.
        """
        # Another process may have copied images for a backup that is not seen yet.
        with self._place.alone():
            for name in self.names()[:-number]:
                self._place.remove(name)
            left = {uri for name in self.names() for uri in self.image_uris(self.manifest(name))}
            gone = [uri for uri in self.images.uris() if uri not in left]
            for uri in gone:
                self.images.delete(uri)
        return len(gone)


class UnfinishedBackup:
    """A backup that is being written to a folder of this machine."""

    def __init__(self, name: str, folder: Path, place: BackupPlace) -> None:
        self.name = name
        self.folder = folder
        self._place = place

    def write(self, name: str, content: bytes) -> KeptFile:
        """Write a file.

        Raises
        ------
        OSError
            The disk is full.
        """
        (self.folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return KeptFile(sha256=digest, size=len(content), documents=1)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and make this a backup: from now on, it is seen."""
        self.write(MANIFEST, manifest.model_dump_json(indent=1).encode())
        self._place.finish(self.name, self.folder)


@contextmanager
def room_on(disk: str) -> Iterator[None]:
    """Translate that the disk is full.

    Raises
    ------
    DiskFull
        It is full.
    """
    try:
        yield
    except (OSError, StoreUnavailable) as exc:
        cause = exc if isinstance(exc, OSError) else exc.__cause__
        if isinstance(cause, OSError) and cause.errno in _FULL:
            raise DiskFull(f"the disk of {disk} is full") from exc
        raise


def digest_of(path: Path) -> str:
    """The sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
