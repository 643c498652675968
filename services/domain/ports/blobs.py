"""Image bytes, named by their sha256: the same picture twice is one blob."""

from typing import Protocol


class BlobStore(Protocol):
    """Bytes by content. Safe to use from several threads."""

    def put(self, content: bytes) -> str:
        """Store the bytes durably, unless they are there; their URI, relative to the store.

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
