"""One thread for torch, as in unit tests of the embedder."""

from tests.unit.embedder.conftest import one_thread

__all__ = ["one_thread"]
