"""Opens the vectors for commands that only read them."""

from services.domain.ports.vectors import VectorReader
from services.runtime.embedded import stack
from services.runtime.settings import Settings
from services.runtime.stores.timed import TimedVectorReader
from services.runtime.stores.vectors_open import open_vector_store
from services.runtime.stores.vectors_served import ServedVectors


def open_vectors_to_read(settings: Settings) -> VectorReader:
    """The vector store in the settings; that of a running stack is read over HTTP.

    Raises
    ------
    MissingPart, InvalidSettings
        As from `open_vector_store`.
    """
    stack_addresses = None if settings.qdrant else stack.running(settings)
    if stack_addresses is not None and stack_addresses.vectors:
        served = ServedVectors.at(stack_addresses.vectors, stack_addresses.vectors_key)
        return TimedVectorReader(served)
    return open_vector_store(settings)
