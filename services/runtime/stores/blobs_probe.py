"""Checks whether the blob store can be written and read, without leaving anything behind."""

import errno
import os
import secrets
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec

from services.contracts.errors import StoreUnavailable
from services.runtime.stores.blobs_fsspec import accessing, open_blobs

_PROBE = b"gazeloop doctor"


class Access(StrEnum):
    """What this process may do with a blob store."""

    WRITES = "can be written and read"
    READS = "is mounted read-only here"


def probe_blobs(url: str) -> Access:
    """Write, read and remove a probe; for a folder that does not exist yet, check permissions only.

    Raises
    ------
    StoreUnavailable
        The store does not answer, or refuses access.
    InvalidSettings, MissingPart
        As from `open_blobs`.
    """
    open_blobs(url)
    parts = urlsplit(url)
    if parts.scheme == "file" or "://" not in url:
        return _probe_folder(Path(unquote(parts.path)) if parts.scheme == "file" else Path(url))
    with accessing(url):
        files, root = fsspec.url_to_fs(url, use_listings_cache=False)
        probe = f"{root.rstrip('/')}/doctor-{secrets.token_hex(8)}"
        files.pipe_file(probe, _PROBE)
        try:
            read = files.cat_file(probe)
        finally:
            files.rm_file(probe)
    if read != _PROBE:
        raise StoreUnavailable(f"{url}: what was written is not what is read")
    return Access.WRITES


def _probe_folder(folder: Path) -> Access:
    with accessing(folder.as_uri()):
        existing = nearest(folder)
        if os.statvfs(existing).f_flag & os.ST_RDONLY:
            return Access.READS
        if existing != folder:  # the first image creates the folder; a probe must not
            if not os.access(existing, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "no folder can be made", str(existing))
            return Access.WRITES
        probe = folder / f".doctor-{secrets.token_hex(8)}"
        try:
            probe.write_bytes(_PROBE)
            probe.read_bytes()
        finally:
            probe.unlink(missing_ok=True)
    return Access.WRITES


def nearest(folder: Path) -> Path:
    """The folder, or its deepest existing ancestor."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
