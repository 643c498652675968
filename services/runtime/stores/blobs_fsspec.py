"""Blobs in a folder or behind any fsspec URL, each at `<first two digits>/<sha256>`."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from services.contracts.errors import (
    InvalidSettings,
    MissingImage,
    MissingPart,
    StoreUnavailable,
)
from services.domain.ports.blob_uris import place_in, place_of, uri_at, uri_of
from services.domain.ports.blobs import BlobStore
from services.runtime.durability import make_folder, replace_file, sync

_ATOMIC_PUT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "memory"})
"""Protocols with atomic writes; elsewhere a blob is written to a temporary name and renamed."""

_PREFIXES = tuple(f"{number:02x}" for number in range(256))
"""The folders of a store."""

_DRIVERS = frozenset({"aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google"})
"""Packages whose errors s3fs, gcsfs and adlfs raise as they are, without making them OSErrors, such
as botocore's EndpointConnectionError. None of them need be installed."""


def open_blobs(url: str, named: str = "GAZELOOP_BLOBS") -> BlobStore:
    """The blob store at a folder or an fsspec URL. Nothing is contacted yet.

    Parameters
    ----------
    named : what names the URL, for errors

    Raises
    ------
    InvalidSettings
        fsspec does not support the URL.
    MissingPart
        The URL's protocol needs a package that is not installed (s3fs for `s3://`).
    """
    parts = urlsplit(url)
    if "::" in url:
        raise InvalidSettings(f"{named}: {url!r} chains file systems")
    if parts.scheme == "file":
        return FolderBlobs(Path(unquote(parts.path)))
    if "://" not in url:
        return FolderBlobs(Path(url))
    try:
        file_system, root = fsspec.url_to_fs(url, use_listings_cache=False)
    except ValueError as exc:
        raise InvalidSettings(f"{named}: {exc}") from exc
    except ImportError as exc:
        raise MissingPart(
            f"{named}: {parts.scheme}://…: {exc}; the images and requirements/server.txt have"
            " it (the extra `object-stores`)"
        ) from exc
    return FsspecBlobs(file_system, root, url.rstrip("/"))


def checked(uri: str, content: bytes) -> bytes:
    """The content, after comparing its digest with the URI.

    Raises
    ------
    MissingImage
        The content has changed since it was stored.
    """
    if not uri.endswith(place_of(content)):
        raise MissingImage(f"{uri} has changed since it was stored", reason="damaged_blob")
    return content


@contextmanager
def accessing(subject: str) -> Iterator[None]:
    """Translate errors of the file system and of the store's driver.

    Raises
    ------
    StoreUnavailable
        The store does not answer, refuses access, or is full.
    """
    try:
        yield
    except OSError as exc:
        raise StoreUnavailable(f"{subject}: {exc}") from exc
    except Exception as exc:
        if type(exc).__module__.partition(".")[0] not in _DRIVERS:
            raise
        raise StoreUnavailable(f"{subject}: {type(exc).__name__}: {exc}") from exc


@contextmanager
def _reading(subject: str) -> Iterator[None]:
    try:
        with accessing(subject):
            yield
    except StoreUnavailable as exc:
        if isinstance(exc.__cause__, FileNotFoundError):
            raise MissingImage(f"there is no {subject}") from exc
        raise


class LazyBlobs:
    """The blob store at a URL, opened at its first use.

    Most commands and services read no images, and need neither the store's package nor its keys.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _blobs(self) -> BlobStore:
        # No lock: if two threads open it at once, both get an equivalent store.
        return open_blobs(self._url)

    def put(self, content: bytes) -> str:
        return self._blobs.put(content)

    def get(self, uri: str) -> bytes:
        return self._blobs.get(uri)

    def delete(self, uri: str) -> None:
        self._blobs.delete(uri)

    def uris(self) -> Iterator[str]:
        return self._blobs.uris()


class FolderBlobs:
    """Blobs in a folder of this machine, durable once `put` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def put(self, content: bytes) -> str:
        place = place_of(content)
        path = self._folder / place
        with accessing(path.as_uri()):
            if not (path.is_file() and path.stat().st_size == len(content)):
                make_folder(path.parent)
                replace_file(path, content)
        return uri_of(content)

    def get(self, uri: str) -> bytes:
        place = place_in(uri)
        with _reading((self._folder / place).as_uri()):
            content = (self._folder / place).read_bytes()
        return checked(uri, content)

    def delete(self, uri: str) -> None:
        path = self._folder / place_in(uri)
        with accessing(path.as_uri()):
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync(path.parent)

    def uris(self) -> Iterator[str]:
        for prefix in _PREFIXES:
            with accessing(self._folder.as_uri()):
                folder = self._folder / prefix
                names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            yield from _uris_of(prefix, names)


def _uris_of(prefix: str, names: list[str]) -> Iterator[str]:
    """The URIs of the blobs among the files of a folder, in order."""
    found = (uri_at(f"{prefix}/{name}") for name in sorted(names))
    return (uri for uri in found if uri is not None)


class FsspecBlobs:
    """Blobs behind an fsspec file system: S3, Google Cloud Storage, Azure, memory and others."""

    def __init__(self, file_system: Any, folder: str, root: str) -> None:
        self._files = file_system
        self._folder = folder.rstrip("/")
        self._root = root
        protocols = file_system.protocol
        self._atomic = not _ATOMIC_PUT.isdisjoint(
            [protocols] if isinstance(protocols, str) else protocols
        )

    def put(self, content: bytes) -> str:
        place = place_of(content)
        path = f"{self._folder}/{place}"
        with accessing(f"{self._root}/{place}"):
            if self._size(path) != len(content):
                self._write(path, content)
        return uri_of(content)

    def get(self, uri: str) -> bytes:
        place = place_in(uri)
        with _reading(f"{self._root}/{place}"):
            content: bytes = self._files.cat_file(f"{self._folder}/{place}")
        return checked(uri, content)

    def delete(self, uri: str) -> None:
        place = place_in(uri)
        with accessing(f"{self._root}/{place}"), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._folder}/{place}")

    def uris(self) -> Iterator[str]:
        # Listed first, because to ask for each of them takes 256 requests, however few there are.
        folders = set(self._names_in(self._folder))
        for prefix in sorted(folders.intersection(_PREFIXES)):
            yield from _uris_of(prefix, self._names_in(f"{self._folder}/{prefix}"))

    def _names_in(self, folder: str) -> list[str]:
        paths: list[str] = []
        with accessing(self._root), suppress(FileNotFoundError):
            paths = self._files.ls(folder, detail=False)
        return [path.rstrip("/").rpartition("/")[2] for path in paths]

    def _size(self, path: str) -> int | None:
        try:
            size: int | None = self._files.info(path)["size"]
        except FileNotFoundError:
            return None
        return size

    def _write(self, path: str, content: bytes) -> None:
        if self._atomic:
            self._files.pipe_file(path, content)
            return
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        aside = f"{path}.{secrets.token_hex(8)}.incoming"
        self._files.pipe_file(aside, content)
        self._files.mv(aside, path)
