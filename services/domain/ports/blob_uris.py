"""URIs of blobs, relative to their store, so that a store can be copied, moved or renamed.

A blob is named by its content, so the last part of a URI finds it wherever the store is now.
"""

import hashlib
import re
from pathlib import Path
from typing import Final

from services.contracts.errors import MissingImage

SCHEME: Final = "blob:"
_PLACE = r"(?P<place>(?P<folder>[0-9a-f]{2})/(?P=folder)[0-9a-f]{62})"
_RELATIVE = re.compile(rf"{SCHEME}{_PLACE}")
_ABSOLUTE = re.compile(rf"[a-z][a-z0-9+.-]*://[^?#]*/{_PLACE}")
"""URIs from before they were relative. Queries and chained file systems are not accepted."""


def place_of(content: bytes) -> str:
    """The path of a blob within its store."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{digest[:2]}/{digest}"


def uri_of(content: bytes) -> str:
    """The blob's URI, relative to its store."""
    return f"{SCHEME}{place_of(content)}"


def uri_at(place: str) -> str | None:
    """The URI of the blob at a path within its store; None if the path is no blob's."""
    uri = f"{SCHEME}{place}"
    return uri if _RELATIVE.fullmatch(uri) else None


def place_in(uri: str) -> str:
    """The path within its store that a URI names; the store opens no other path.

    An absolute URI names the location of the store when the blob was put.

    Raises
    ------
    MissingImage
        The URI names no blob.
    """
    found = _found(uri)
    if found is None:
        raise MissingImage(f"{uri!r} names no blob of the store", reason="foreign_uri")
    return found


def _found(uri: str) -> str | None:
    found = _RELATIVE.fullmatch(uri) or _ABSOLUTE.fullmatch(uri)
    return None if found is None or "/../" in uri or "::" in uri else found["place"]


def absolute_uri(uri: str, store: str) -> str:
    """The absolute URI of a blob in the store at this folder or URL, for external readers.

    A URI that names no blob is returned unchanged.
    """
    place = _found(uri)
    if place is None:
        return uri
    root = store.rstrip("/") if "://" in store else Path(store).absolute().as_uri()
    return f"{root}/{place}"
