"""Places of backups: a folder of this machine, or a bucket behind any fsspec URL."""

import fcntl
import re
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import fsspec

from services.app.backup.backups import MANIFEST, BackupPlace, Backups, room_on
from services.contracts.errors import InvalidSettings
from services.domain.ports.blobs import BlobStore
from services.runtime.durability import sync
from services.runtime.stores.blobs_fsspec import FolderBlobs, accessing, open_blobs

_UNFINISHED: Final = ".unfinished-"
_NAME: Final = re.compile(rf"({re.escape(_UNFINISHED)})?\d{{8}}T\d{{6}}\.\d{{3}}Z")
"""Entries with other names stay: somebody may keep other backups in the same place."""


def open_backups(to: str) -> Backups:
    """The backups in a folder, or behind an fsspec URL (`s3://bucket/path`).

    Raises
    ------
    InvalidSettings, MissingPart
        The URL's protocol is unknown, or needs a package that is not installed.
    """
    is_url = "://" in to and not to.startswith("file://")
    place: BackupPlace = (
        BackupBucket(to) if is_url else BackupFolder(Path(to.removeprefix("file://")))
    )
    return Backups(place)


class BackupFolder:
    """Backups in a folder. An unfinished backup has another name until it is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._backups = folder / "backups"
        self.images: BlobStore = FolderBlobs(folder / "images")

    def __str__(self) -> str:
        return str(self._folder)

    @property
    def disk(self) -> str:
        return str(self._folder)

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self._backups.glob(f"[!.]*/{MANIFEST}"))

    def local(self, name: str, path: str) -> Path:
        return self._backups / name / path

    @contextmanager
    def alone(self) -> Iterator[None]:
        self._backups.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise InvalidSettings(f"another backup to {self} is under way") from exc
            yield

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        with self.alone():
            for left in _not_whole((path.name for path in self._backups.iterdir()), self.names()):
                rmtree(self._backups / left)
            unfinished = self._backups / f"{_UNFINISHED}{name}"
            unfinished.mkdir(mode=0o700)
            try:
                yield unfinished
            finally:
                rmtree(unfinished, ignore_errors=True)

    def finish(self, name: str, folder: Path) -> None:
        for path in (*folder.rglob("*"), folder):
            sync(path)
        folder.rename(self._backups / name)
        sync(self._backups)

    def remove(self, name: str) -> None:
        (self._backups / name / MANIFEST).unlink()
        rmtree(self._backups / name)


class BackupBucket:
    """Backups in a bucket. A backup is written to a folder of this machine first, then uploaded.

    One process at a time may write: a bucket has no locks.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self.images: BlobStore = open_blobs(f"{self._url}/images", f"backups to {self._url}")
        self._files, root = fsspec.url_to_fs(self._url, use_listings_cache=False)
        self._backups = f"{root.rstrip('/')}/backups"

    def __str__(self) -> str:
        return self._url

    @property
    def disk(self) -> str:
        return f"{tempfile.gettempdir()} (TMPDIR names another)"

    def names(self) -> list[str]:
        return sorted(name for name in self._entries() if self._exists(f"{name}/{MANIFEST}"))

    def local(self, name: str, path: str) -> Path:
        target = self._copies / name / path
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with room_on(self.disk), accessing(self._url), suppress(FileNotFoundError):
                self._files.get_file(f"{self._backups}/{name}/{path}", str(target))
        return target

    @contextmanager
    def alone(self) -> Iterator[None]:
        yield

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        del name
        for left in _not_whole(self._entries(), self.names()):
            self._remove(f"{self._backups}/{left}")
        with tempfile.TemporaryDirectory(prefix="gazeloop-backup-") as folder:
            yield Path(folder)

    def finish(self, name: str, folder: Path) -> None:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        for path in sorted(paths, key=lambda path: path == folder / MANIFEST):
            with accessing(self._url):
                place = f"{self._backups}/{name}/{path.relative_to(folder).as_posix()}"
                self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
                self._files.put_file(str(path), place)

    def remove(self, name: str) -> None:
        with accessing(self._url):
            self._files.rm_file(f"{self._backups}/{name}/{MANIFEST}")
        self._remove(f"{self._backups}/{name}")

    @cached_property
    def _copies(self) -> Path:
        """Downloaded files; they go with this object."""
        folder = Path(tempfile.mkdtemp(prefix="gazeloop-backup-"))
        weakref.finalize(self, rmtree, folder, ignore_errors=True)
        return folder

    def _entries(self) -> list[str]:
        with accessing(self._url), suppress(FileNotFoundError):
            found: list[Any] = self._files.ls(self._backups, detail=False)
            return [path.rstrip("/").rpartition("/")[2] for path in found]
        return []

    def _exists(self, path: str) -> bool:
        with accessing(self._url):
            return bool(self._files.exists(f"{self._backups}/{path}"))

    def _remove(self, path: str) -> None:
        with accessing(self._url), suppress(FileNotFoundError):
            self._files.rm(path, recursive=True)


def _not_whole(entries: Iterable[str], whole: Collection[str]) -> list[str]:
    """The entries that killed runs have left, of writing a backup or of removing one."""
    return [name for name in entries if _NAME.fullmatch(name) and name not in whole]
