"""Reads and copies many images; those that cannot be read are returned, and stop nothing."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from services.contracts.errors import MissingImage
from services.domain.chunks import chunks
from services.domain.ports.blobs import BlobStore

_AT_ONCE: Final = 8
"""Images that are read at once: of a bucket, each takes a round trip."""


async def damaged_images(blobs: BlobStore, uris: Sequence[str]) -> list[str]:
    """Those of these images that are missing, or are not what was stored.

    Raises
    ------
    StoreUnavailable
        The store does not answer; this holds for every function here.
    """
    return await _failing(blobs.get, uris)


async def copy_images(source: BlobStore, to: BlobStore, uris: Sequence[str]) -> list[str]:
    """Copy images; returns those that the source lacks or has damaged."""

    def copy(uri: str) -> None:
        to.put(source.get(uri))

    return await _failing(copy, uris)


async def replace_images(source: BlobStore, to: BlobStore, uris: Sequence[str]) -> list[str]:
    """Copy images over damaged ones; returns those that the source lacks or has damaged."""

    def replace(uri: str) -> None:
        content = source.get(uri)
        # A store keeps what has the right size already.
        to.delete(uri)
        to.put(content)

    return await _failing(replace, uris)


async def _failing(work: Callable[[str], object], uris: Sequence[str]) -> list[str]:
    """Do blocking work for images; returns those that cannot be read."""

    def fails(uri: str) -> bool:
        try:
            work(uri)
        except MissingImage:
            return True
        return False

    failed: list[str] = []
    for batch in chunks(uris, _AT_ONCE):
        fail = await asyncio.gather(*(asyncio.to_thread(fails, uri) for uri in batch))
        failed += [uri for uri, failing in zip(batch, fail, strict=True) if failing]
    return failed
