"""A queue of records on disk, which survives a loss of power and of the network."""

import errno
import json
import logging
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock

from gazeloop_client.errors import SpoolFull
from gazeloop_client.protocol import PATHS

log = logging.getLogger("gazeloop_client")
_SUFFIX = ".record"
_REFUSED = "refused"
_DRAFT = "draft"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class SpooledRecord:
    """A record that waits.

    Attributes
    ----------
    path : ingest's path
    described : the record's JSON; of a frame, its metadata
    image : a frame's image, else None
    """

    file: Path
    path: str
    described: bytes
    image: bytes | None


class Spool:
    """Records in a folder, a file each, in the order in which they came.

    A record is on disk (written, synced, renamed) before `add` returns. When the spool is full,
    the oldest records are kept and `add` raises. One process at a time may own the folder.

    Parameters
    ----------
    limit_bytes : of all waiting records together
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit_bytes
        self._lock = Lock()
        self._owner: int | None = _owned(folder)
        (folder / _DRAFT).unlink(missing_ok=True)
        files = _records(folder)
        self._waiting = {file: file.stat().st_size for file in files}
        kept = [*files, *_records(folder / _REFUSED)]
        self._next = max((int(file.stem) for file in kept), default=-1) + 1
        self._bytes = sum(self._waiting.values())

    def close(self) -> None:
        """Give the folder up; its records stay. Closing again does nothing."""
        with self._lock:
            owner, self._owner = self._owner, None
        if owner is not None:
            os.close(owner)

    def add(self, path: str, described: bytes, image: bytes | None = None) -> None:
        """Store a record durably.

        Raises
        ------
        SpoolFull
            It does not fit; nothing was stored.
        ValueError
            The spool is closed, so another process may own the folder.
        """
        header = json.dumps({"path": path, "described": len(described), "image": image is not None})
        content = header.encode() + b"\n" + described + (image or b"")
        with self._lock:
            if self._owner is None:
                raise ValueError(f"the spool {self._folder} is closed")
            if self._bytes + len(content) > self._limit:
                raise SpoolFull(
                    f"{self._bytes} of {self._limit} bytes wait in {self._folder}; is Gazeloop"
                    " reachable from here?"
                )
            file = self._folder / f"{self._next:020d}{_SUFFIX}"
            try:
                self._write(file, content)
            except OSError as exc:
                if exc.errno not in _FULL:
                    raise
                raise SpoolFull(f"the disk of {self._folder} is full") from exc
            self._next += 1
            self._bytes += len(content)
            self._waiting[file] = len(content)

    def oldest(self, most: int, most_bytes: int) -> list[SpooledRecord]:
        """The oldest records of one path, in order: at most this many, and about so many bytes."""
        found: list[SpooledRecord] = []
        size = 0
        with self._lock:
            files = list(islice(self._waiting, most))
        for file in files:
            record = self._read(file)
            if record is None:
                continue
            alike = not found or (record.path == found[0].path and record.image is None)
            size += len(record.described)
            if not alike or (found and size > most_bytes):
                break
            found.append(record)
            if record.image is not None:
                break
        return found

    def remove(self, record: SpooledRecord) -> None:
        """Forget a record that Gazeloop has."""
        record.file.unlink(missing_ok=True)
        self._forget(record.file)

    def refuse(self, file: Path, reason: str, detail: str) -> None:
        """Put a record aside that Gazeloop refused, next to the reason; nothing is lost."""
        folder = self._folder / _REFUSED
        folder.mkdir(exist_ok=True)
        named = json.dumps({"reason": reason, "detail": detail}).encode()
        try:
            with self._lock:
                self._write(folder / f"{file.stem}.json", named)
        except OSError as exc:
            # A full disk: the record moves without it, or those behind it would wait for ever.
            log.warning("%s has no file with the reason: %s", file.name, exc)
        file.replace(folder / file.name)
        _sync(folder)
        self._forget(file)

    def _forget(self, file: Path) -> None:
        with self._lock:
            self._bytes -= self._waiting.pop(file, 0)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def refused(self) -> int:
        """How many records were put aside."""
        return len(_records(self._folder / _REFUSED))

    def _read(self, file: Path) -> SpooledRecord | None:
        """A record; None if its file is damaged, which is then put aside, or was deleted."""
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            log.warning("%s was deleted before it could be sent", file)
            self._forget(file)
            return None
        line, _, rest = content.partition(b"\n")
        try:
            header = json.loads(line)
            path, length, has_image = header["path"], header["described"], header["image"]
            described = rest[:length]
        except (ValueError, LookupError, TypeError):
            path = None
        if path not in PATHS:
            self.refuse(file, "damaged", "the file is not as the spool wrote it")
            return None
        return SpooledRecord(file, path, described, rest[length:] if has_image else None)

    def _write(self, target: Path, content: bytes) -> None:
        draft = self._folder / _DRAFT
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
        _sync(self._folder)


def _records(folder: Path) -> list[Path]:
    """The records in a folder, oldest first; what else lies there is not the spool's."""
    return sorted(file for file in folder.glob(f"*{_SUFFIX}") if file.stem.isdecimal())


def _owned(folder: Path) -> int:
    """Lock the folder for this process; the lock ends with it."""
    lock = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        import fcntl  # noqa: PLC0415  # not on Windows, where the open file itself is the lock
    except ImportError:  # pragma: no cover
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise BlockingIOError(f"another process uses the spool {folder}") from exc
    return lock


def _sync(folder: Path) -> None:
    if os.name == "nt":  # pragma: no cover  # Windows syncs no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
