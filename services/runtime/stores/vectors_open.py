"""Which vector store the settings ask for."""

from importlib.util import find_spec

from services.contracts.errors import MissingPart
from services.runtime.settings import Settings
from services.runtime.stores.timed import TimedVectors
from services.runtime.stores.vectors import VectorStore


def open_vector_store(settings: Settings) -> VectorStore:
    """The server that `settings.qdrant` names, else Qdrant Edge in the data folder.

    Raises
    ------
    MissingPart
        Neither is there.
    InvalidSettings
        Another process has the data folder's vectors open.
    """
    # Imported when chosen: the client takes a second, and Edge is not made for every platform.
    if settings.qdrant:
        from services.runtime.stores.vectors_client import ClientVectorStore  # noqa: PLC0415

        key = settings.qdrant_api_key.get_secret_value()
        return TimedVectors(ClientVectorStore.at(settings.qdrant, key, settings.qdrant_ca))
    if find_spec("qdrant_edge") is None:
        raise MissingPart("Qdrant Edge is not installed here; set GAZELOOP_QDRANT to a server")
    from services.runtime.stores.vectors_edge import EdgeVectorStore  # noqa: PLC0415

    return TimedVectors(EdgeVectorStore.open(settings.data / "qdrant"))
