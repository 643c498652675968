"""URIs of blobs: relative to their store, so that a store may be copied, moved or renamed.

A blob is named by its content, so the last part of a URI finds it wherever its store is now.
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
"""As stores gave them out until they were relative. Neither queries, nor chained file systems."""


def place_of(content: bytes) -> str:
    """Where a blob lies in its store."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{digest[:2]}/{digest}"


def uri_of(content: bytes) -> str:
    """The blob's URI, relative to its store."""
    return f"{SCHEME}{place_of(content)}"


def place_in(uri: str) -> str:
    """The place in its store that a URI names; nothing else is ever opened.

    An absolute URI is of a store that was elsewhere when the blob was put.

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
    """Where readers outside find a blob, in the store at this folder or URL.

    What names no blob is left as it is.
    """
    place = _found(uri)
    if place is None:
        return uri
    root = store.rstrip("/") if "://" in store else Path(store).absolute().as_uri()
    return f"{root}/{place}"
