"""The blob store's protocol: image bytes by their sha256, so equal images are one blob."""

from collections.abc import Iterator
from typing import Protocol


class BlobStore(Protocol):
    """Bytes by content. Safe to use from several threads."""

    def put(self, content: bytes) -> str:
        """Store the bytes durably, if they are new; returns their URI, relative to the store.

        Raises
        ------
        StoreUnavailable
            The store does not answer, or has no room.
        """
        ...

    def get(self, uri: str) -> bytes:
        """The bytes of a URI that `put` returned, here or where the store was before.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        MissingImage
            There is no such blob, or the URI names none.
        """
        ...

    def delete(self, uri: str) -> None:
        """Delete a blob durably, wherever it was put; one that is not there is fine.

        Raises
        ------
        StoreUnavailable
            The store does not answer, or refuses.
        MissingImage
            The URI names no blob.
        """
        ...

    def uris(self) -> Iterator[str]:
        """The URIs of all blobs, in order; blobs put or deleted meanwhile may be among them.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        ...
