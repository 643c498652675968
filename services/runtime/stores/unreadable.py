"""Skips stored documents that cannot be read, and collects them for a report.

A document was valid when it was written, by the rules of that version. If reading it raised, a
service that loads it would exit at every start. So readers skip it as if it did not exist, and it
is reported once (see `MongoUnreadableLog`).
"""

import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, TypeVar

import structlog
from bson import json_util

from services.contracts.errors import VALUE_ERRORS, Invalid
from services.runtime.observability import metrics

T = TypeVar("T")
Document = dict[str, Any]
log = structlog.get_logger(__name__)

READ_ERRORS: Final = (*VALUE_ERRORS, Invalid)
"""What parsing a document may raise."""
_MAX_WAITING = 10_000
_MAX_ID_LENGTH = 500
_MAX_DETAIL_LENGTH = 2_000
_MAX_TEXT_LENGTH = 4_000_000


@dataclass(frozen=True)
class UnreadableDocument:
    """A document that was skipped.

    Attributes
    ----------
    content : the document as extended JSON, truncated if very long
    """

    collection: str
    document_id: str
    detail: str
    traceback: str
    content: bytes

    @property
    def location(self) -> str:
        """Its collection and id, in readable form."""
        return f"mongodb:{self.collection}/{self.document_id}"


class UnreadableDocuments:
    """Unreadable documents that are not reported yet; thread-safe."""

    def __init__(self) -> None:
        self._waiting: deque[UnreadableDocument] = deque()
        self._seen: set[tuple[str, str]] = set()
        self._lock = Lock()

    def add(self, collection: str, document_id: object, document: Document, exc: Exception) -> None:
        """Add a document with the error that it caused; a repeat changes nothing."""
        shown = str(document_id)[:_MAX_ID_LENGTH]
        with self._lock:
            # Bounded: if a whole collection is unreadable, ten thousand reports suffice.
            if (collection, shown) in self._seen or len(self._seen) >= _MAX_WAITING:
                return
            self._seen.add((collection, shown))
            self._waiting.append(_described(collection, shown, document, exc))
        metrics.UNREADABLE_DOCUMENTS.labels(collection).inc()
        log.warning("document_unreadable", place=f"{collection}/{shown}", error=str(exc)[:200])

    def take(self) -> list[UnreadableDocument]:
        """Remove and return all documents."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken

    def restore(self, documents: Iterable[UnreadableDocument]) -> None:
        """Put documents back that could not be reported."""
        with self._lock:
            self._waiting.extendleft(documents)


UNREADABLE: Final = UnreadableDocuments()
"""The process's only instance, like the metrics registry, because many places build stores."""


def readable(
    collection: str, documents: Iterable[Document], parse: Callable[[Document], T]
) -> list[T]:
    """Parse the documents; skip those for which `parse` raises one of READ_ERRORS."""
    found = []
    for document in documents:
        try:
            found.append(parse(document))
        except READ_ERRORS as exc:
            UNREADABLE.add(collection, document.get("_id"), document, exc)
    return found


def _described(
    collection: str, document_id: str, document: Document, exc: Exception
) -> UnreadableDocument:
    try:
        content = json_util.dumps(document)
    except READ_ERRORS:
        content = repr(document)
    return UnreadableDocument(
        collection,
        document_id,
        f"{type(exc).__name__}: {exc}"[:_MAX_DETAIL_LENGTH],
        "".join(traceback.format_exception(exc))[-_MAX_DETAIL_LENGTH:],
        content[:_MAX_TEXT_LENGTH].encode(errors="replace"),
    )
