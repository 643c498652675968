"""Check the blob store: access, free space, and that it has the images that MongoDB lists."""

import asyncio
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.app.doctor.finding import Finding, Level, space
from services.app.topic_access import service_of_user
from services.contracts.errors import Invalid
from services.domain.ports.blobs import BlobStore
from services.runtime.settings import Settings
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.blobs_probe import Access, nearest, probe_blobs
from services.runtime.stores.frame_documents import IMAGE_DELETED, captured_of
from services.runtime.stores.mongo import Document, connected, translated

_PART = "blobs"
_SAMPLED = 20


async def look_at_blobs(settings: Settings) -> list[Finding]:
    """Write and read a test blob (removed afterwards), and look up a sample of images.

    Raises
    ------
    StoreUnavailable, InvalidSettings
        It does not answer, or refuses access.
    """
    access = await asyncio.to_thread(probe_blobs, settings.blob_url)
    blobs = open_blobs(settings.blob_url)
    found = [_accessible(settings, access)]
    return [*found, *_here(settings), *_disk(settings), *await _lost(blobs, settings)]


def _accessible(settings: Settings, access: Access) -> Finding:
    text = f"{settings.blob_url} {access.value}"
    if access is Access.READS and service_of_user(settings) == "ingest":
        return Finding(Level.ERROR, _PART, text, "ingest stores images: mount it for writing")
    return Finding(Level.OK, _PART, text)


def _here(settings: Settings) -> list[Finding]:
    if not settings.kafka or settings.blobs or (settings.data / "mongodb").exists():
        return []
    remedy = "set GAZELOOP_BLOBS to a store that all services can reach"
    return [Finding(Level.WARNING, _PART, "images are stored on this machine only", remedy)]


def _disk(settings: Settings) -> list[Finding]:
    url = urlsplit(settings.blob_url)
    if url.scheme not in {"file", ""}:
        return []
    usage = shutil.disk_usage(nearest(Path(unquote(url.path))))
    return space(_PART, url.path, usage.free / usage.total, "enlarge it")


async def _lost(blobs: BlobStore, settings: Settings) -> list[Finding]:
    """Sampled frames whose image is missing from the store."""
    sample: list[Document] = [
        {"$match": {"captured_at": {"$exists": True}, IMAGE_DELETED: {"$ne": True}}},
        {"$sample": {"size": _SAMPLED}},
        {"$project": {"captured": 1}},
    ]
    async with connected(settings) as database:
        with translated():
            frames = await (await database["frames"].aggregate(sample)).to_list()
    gone = [
        frame["_id"]
        for frame in frames
        if not await asyncio.to_thread(_has, blobs, captured_of(frame).image.uri)
    ]
    if not gone:
        return []
    problem = f"{len(gone)} of {len(frames)} sampled images are missing: {gone[0]}"
    remedy = "restore the blob store's backup, or publish the same images again"
    return [Finding(Level.ERROR, _PART, problem, remedy)]


def _has(blobs: BlobStore, uri: str) -> bool:
    try:
        blobs.get(uri)
    except Invalid:
        return False
    return True
