"""Which vector store the settings ask for."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from services.contracts.errors import MissingPart
from services.domain.ports.vectors import CollectionNames, Quantization, VectorStore
from services.runtime.settings import Settings
from services.runtime.stores.timed import TimedVectors
from services.runtime.stores.vectors_edge_names import EDGE_FOLDER, EdgeNames

if TYPE_CHECKING:
    from services.runtime.stores.vectors_client import ClientVectorStore


def open_vector_store(settings: Settings) -> VectorStore:
    """The server that `settings.qdrant` names, else Qdrant Edge in the data folder.

    Raises
    ------
    MissingPart
        Neither is there.
    InvalidSettings
        Another process has the data folder's vectors open.
    """
    if settings.qdrant:
        return TimedVectors(_client(settings))
    if find_spec("qdrant_edge") is None:
        raise MissingPart("Qdrant Edge is not installed here; set GAZELOOP_QDRANT to a server")
    # Imported when chosen: it is not made for every platform.
    from services.runtime.stores.vectors_edge import EdgeVectorStore  # noqa: PLC0415

    quantization = Quantization(settings.vector_quantization)
    return TimedVectors(EdgeVectorStore.open(settings.data / EDGE_FOLDER, quantization))


def open_collection_names(settings: Settings) -> CollectionNames:
    """Those of the same store, also while another process has the data folder's vectors open."""
    return _client(settings) if settings.qdrant else EdgeNames(settings.data / EDGE_FOLDER)


def _client(settings: Settings) -> "ClientVectorStore":
    # Imported when chosen: it takes a second.
    from services.runtime.stores.vectors_client import ClientVectorStore  # noqa: PLC0415

    key = settings.qdrant_api_key.get_secret_value()
    quantization = Quantization(settings.vector_quantization)
    return ClientVectorStore.at(settings.qdrant, key, settings.qdrant_ca, quantization)
