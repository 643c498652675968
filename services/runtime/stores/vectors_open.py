"""Opens the vector store in the settings."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from services.contracts.errors import MissingPart
from services.domain.ports.vectors import CollectionAliases, Quantization, VectorStore
from services.runtime.settings import Settings
from services.runtime.stores.timed import TimedVectors
from services.runtime.stores.vectors_edge_names import EDGE_FOLDER, EdgeNames

if TYPE_CHECKING:
    from services.runtime.stores.vectors_client import ClientVectorStore


def open_vector_store(settings: Settings) -> VectorStore:
    """The server in `settings.qdrant`, else Qdrant Edge in the data folder.

    Raises
    ------
    MissingPart
        No server is set, and Qdrant Edge is not installed.
    InvalidSettings
        Another process has the data folder's vectors open.
    """
    if settings.qdrant:
        return TimedVectors(_client(settings))
    if find_spec("qdrant_edge") is None:
        raise MissingPart("Qdrant Edge is not installed here; set GAZELOOP_QDRANT to a server")
    # Imported only when chosen: it is not available for every platform.
    from services.runtime.stores.vectors_edge import EdgeVectorStore  # noqa: PLC0415

    quantization = Quantization(settings.vector_quantization)
    return TimedVectors(EdgeVectorStore.open(settings.data / EDGE_FOLDER, quantization))


def open_collection_names(settings: Settings) -> CollectionAliases:
    """Collections and aliases of that store; works while another process has the vectors open."""
    return _client(settings) if settings.qdrant else EdgeNames(settings.data / EDGE_FOLDER)


def _client(settings: Settings) -> "ClientVectorStore":
    # Imported only when chosen: the import takes a second.
    from services.runtime.stores.vectors_client import ClientVectorStore, Layout  # noqa: PLC0415

    key = settings.qdrant_api_key.get_secret_value()
    layout = Layout(
        Quantization(settings.vector_quantization),
        settings.qdrant_shards or None,
        settings.qdrant_replicas,
        settings.qdrant_tenant or None,
    )
    url, ca, port = settings.qdrant, settings.qdrant_ca, settings.qdrant_grpc_port
    return ClientVectorStore.at(url, key, ca, layout, port)
