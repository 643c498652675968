"""Snapshots of a Qdrant server's collections: points with their indexes, by Qdrant's own API."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from services.contracts.errors import DamagedBackup, InvalidSettings, StoreUnavailable
from services.runtime.settings import Settings

_TIMEOUT = httpx.Timeout(30.0, read=None, write=None)
"""Qdrant answers once a snapshot is written or restored, which takes as long as it takes."""


@dataclass(frozen=True)
class Snapshot:
    """A snapshot on this machine."""

    sha256: str
    size: int


class QdrantSnapshots:
    """A server that is one node: in a cluster, each node's snapshot has its own shards alone."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def version(self) -> str:
        """The server's version.

        Raises
        ------
        InvalidSettings
            The server is a cluster of several nodes, refuses the key, or is not a Qdrant server;
            the last two hold for every method.
        StoreUnavailable
            The server does not answer; this holds for every method.
        """
        cluster = (await self._json("GET", "/cluster"))["result"]
        if len(cluster.get("peers") or {}) > 1:
            raise InvalidSettings("Qdrant is a cluster of several nodes: leave out --snapshots")
        return str((await self._json("GET", "/"))["version"])

    async def save(self, collection: str, path: Path) -> Snapshot:
        """Write a snapshot of a collection to a file, and delete it on the server."""
        place = f"/collections/{quote(collection, safe='')}/snapshots"
        snapshot = await self._json("POST", place, params={"wait": "true"})
        snapshot_url = f"{place}/{quote(snapshot['result']['name'], safe='')}"
        digest, size = hashlib.sha256(), 0
        try:
            with _answering(), path.open("wb") as file:
                async with self._http.stream("GET", snapshot_url) as answer:
                    _check(answer)
                    async for chunk in answer.aiter_bytes():
                        await asyncio.to_thread(file.write, chunk)
                        digest.update(chunk)
                        size += len(chunk)
        finally:
            await self._json("DELETE", snapshot_url, params={"wait": "true"})
        return Snapshot(digest.hexdigest(), size)

    async def restore(self, collection: str, path: Path) -> None:
        """Make a collection what it was when the snapshot was made; a repetition does it again.

        Raises
        ------
        DamagedBackup
            The server refuses the snapshot.
        """
        place = f"/collections/{quote(collection, safe='')}/snapshots/upload"
        with path.open("rb") as file, _answering():
            answer = await self._http.post(
                place,
                params={"wait": "true", "priority": "snapshot"},
                files={"snapshot": (path.name, file)},
            )
        if answer.status_code == HTTPStatus.BAD_REQUEST:
            raise DamagedBackup(_described(answer))
        _check(answer)

    async def _json(self, method: str, place: str, **options: Any) -> dict[str, Any]:
        with _answering():
            answer = await self._http.request(method, place, **options)
        _check(answer)
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def snapshots_of(settings: Settings) -> AsyncIterator[QdrantSnapshots]:
    """The snapshots of the server that the settings name.

    Raises
    ------
    InvalidSettings
        They name none.
    """
    if not settings.qdrant:
        raise InvalidSettings("snapshots are of a Qdrant server: set GAZELOOP_QDRANT")
    key = settings.qdrant_api_key.get_secret_value()
    verify = ssl.create_default_context(cafile=settings.qdrant_ca) if settings.qdrant_ca else True
    headers = {"api-key": key} if key else {}
    async with httpx.AsyncClient(
        base_url=settings.qdrant, headers=headers, timeout=_TIMEOUT, verify=verify
    ) as http:
        yield QdrantSnapshots(http)


def same_minor(made_by: str, here: str) -> bool:
    """Whether a snapshot can be restored: Qdrant wants the same minor version."""
    return made_by.split(".")[:2] == here.split(".")[:2]


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as exc:
        raise StoreUnavailable(f"Qdrant does not answer: {type(exc).__name__} {exc}") from exc


def _check(answer: httpx.Response) -> None:
    detail = _described(answer)
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise InvalidSettings(f"{detail}: is GAZELOOP_QDRANT_API_KEY right, and may it write?")
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise StoreUnavailable(detail)
    if answer.status_code >= HTTPStatus.BAD_REQUEST:
        raise InvalidSettings(f"{detail}: is GAZELOOP_QDRANT the address of a Qdrant server?")


def _described(answer: httpx.Response) -> str:
    return f"Qdrant answers {answer.status_code} to {answer.request.url.path}"
