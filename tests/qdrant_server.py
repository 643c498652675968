"""A real Qdrant for tests: GAZELOOP_TEST_QDRANT=URL, and GAZELOOP_TEST_QDRANT_KEY where it has one.

No registry has its server, so elsewhere the same tests run on Qdrant Edge and on the client's local
mode. The server must be empty, because what tests have written there is deleted.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from qdrant_client import QdrantClient

URL = os.environ.get("GAZELOOP_TEST_QDRANT", "")
KEY = os.environ.get("GAZELOOP_TEST_QDRANT_KEY", "")
SETTINGS: dict[str, str] = {"qdrant": URL, "qdrant_api_key": KEY} if URL else {}
"""What the settings of a test say of it; nothing where none is given."""


@contextmanager
def emptied_server() -> Iterator[None]:
    """The server, without collections before and after; nothing where none is given."""
    if not URL:
        yield
        return
    client = QdrantClient(url=URL, api_key=KEY or None)
    found = [item.name for item in client.get_collections().collections]
    if found:
        pytest.fail(f"GAZELOOP_TEST_QDRANT={URL} is not empty: {', '.join(sorted(found))}")
    try:
        yield
    finally:
        for item in client.get_collections().collections:
            client.delete_collection(item.name)
        client.close()
