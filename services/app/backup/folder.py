"""A folder of backups: a folder for each, and the images of all of them once.

TO/images/ab/abcdef…            an image by its sha256
TO/backups/20260504T120000.123Z/
    manifest.json               what follows, with digests
    images.txt                  the images' digests, a line each
    mongodb/*.bson, vectors/*.bson
TO/backups/.unfinished-…        what an interrupted run left; the next one deletes it
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import Final

from pydantic import ValidationError

from services.app.backup.manifest import FORM, KeptFile, Manifest
from services.contracts.errors import (
    DamagedBackup,
    DiskFull,
    InvalidSettings,
    NothingStored,
    StoreUnavailable,
)
from services.runtime.stores.blobs_fsspec import FolderBlobs

MANIFEST: Final = "manifest.json"
IMAGES: Final = "images.txt"
_UNFINISHED: Final = ".unfinished-"
_READ_BYTES: Final = 1 << 20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class BackupFolder:
    """The backups in a folder. Only those that are whole are seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._backups = folder / "backups"
        self.images = FolderBlobs(folder / "images")

    def __str__(self) -> str:
        return str(self._folder)

    def names(self) -> list[str]:
        """The whole backups, oldest first."""
        return sorted(path.parent.name for path in self._backups.glob(f"[!.]*/{MANIFEST}"))

    def manifest(self, name: str = "") -> Manifest:
        """A backup's manifest; of the newest one by default.

        Raises
        ------
        NothingStored
            There is no such backup.
        DamagedBackup
            The manifest cannot be read.
        """
        names = self.names()
        if not names or (name and name not in names):
            raise NothingStored(f"{self} holds no backup {name}".rstrip())
        path = self._backups / (name or names[-1]) / MANIFEST
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except ValidationError as exc:
            raise DamagedBackup(f"{path} cannot be read: {exc}") from exc
        if manifest.form > FORM:
            raise DamagedBackup(f"{path} is of a later version of Gazeloop")
        return manifest

    def file(self, manifest: Manifest, path: str) -> Path:
        """Where a file of a backup is."""
        return self._backups / manifest.name / path

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
        for name, kept in manifest.files.items():
            path = self.file(manifest, name)
            if not path.is_file() or _digest(path) != kept.sha256:
                raise DamagedBackup(f"{path} is missing, or is not what was written")

    @contextmanager
    def writing(self, now: datetime) -> Iterator["UnfinishedBackup"]:
        """A new backup, which is not seen before `finish`.

        Raises
        ------
        InvalidSettings
            Another process writes a backup to this folder.
        DiskFull
            The folder's disk is full.
        """
        with _room(self._folder):
            self._backups.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self._folder / ".lock").open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as exc:
                    raise InvalidSettings(f"another backup to {self} is under way") from exc
                for left in self._backups.glob(f"{_UNFINISHED}*"):
                    rmtree(left)
                name = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
                unfinished = self._backups / f"{_UNFINISHED}{name}"
                unfinished.mkdir(mode=0o700)
                try:
                    yield UnfinishedBackup(name, unfinished, self._backups / name)
                finally:
                    rmtree(unfinished, ignore_errors=True)

    def keep(self, number: int) -> int:
        """Delete all but the newest backups, and the images that no other has.

        Returns the number of deleted images.
        """
        for name in self.names()[:-number]:
            # Without its manifest, it is no backup any more, however far the deletion gets.
            (self._backups / name / MANIFEST).unlink()
            rmtree(self._backups / name)
        left = {uri for name in self.names() for uri in self.image_uris(self.manifest(name))}
        gone = [uri for uri in self.images.uris() if uri not in left]
        for uri in gone:
            self.images.delete(uri)
        return len(gone)


class UnfinishedBackup:
    """A backup that is being written."""

    def __init__(self, name: str, folder: Path, finished: Path) -> None:
        self.name = name
        self.folder = folder
        self._finished = finished

    def write(self, name: str, content: bytes) -> KeptFile:
        """Write a file durably.

        Raises
        ------
        OSError
            The disk is full.
        """
        with (self.folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        digest = hashlib.sha256(content).hexdigest()
        return KeptFile(sha256=digest, size=len(content), documents=1)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, then give the backup its name: from now on, it is seen."""
        self.write(MANIFEST, manifest.model_dump_json(indent=1).encode())
        for folder in (*(path for path in self.folder.iterdir() if path.is_dir()), self.folder):
            _sync(folder)
        self.folder.rename(self._finished)
        _sync(self._finished.parent)


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """Translate that the disk is full.

    Raises
    ------
    DiskFull
        It is; what was copied is there for the next run.
    """
    try:
        yield
    except (OSError, StoreUnavailable) as exc:
        cause = exc if isinstance(exc, OSError) else exc.__cause__
        if isinstance(cause, OSError) and cause.errno in _FULL:
            raise DiskFull(f"the disk of {folder} is full; no backup was made") from exc
        raise


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while some := file.read(_READ_BYTES):
            digest.update(some)
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
