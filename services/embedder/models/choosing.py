"""Chooses the embedder, or the other source of vectors, that the settings name."""

from services.contracts.errors import InvalidSettings
from services.domain.ports.blobs import BlobStore
from services.embedder.embedder import Embedder
from services.embedder.event_vectors import EVENT_PREFIX, EventVectors
from services.embedder.picture_vectors import PictureVectors
from services.embedder.vector_source import VectorSource
from services.runtime.settings import Settings

ONNX_SUFFIX = ".onnx"
TIMM_PREFIX = "timm:"
EXPORTED_SUFFIX = ".zip"


def source_of(settings: Settings, blobs: BlobStore) -> VectorSource:
    """The source of vectors in the settings: the events, or an embedder that sees the images.

    Raises
    ------
    MissingWeights, InvalidSettings, UnfitInt8
        As from `EventVectors.of` and `embedder_of`.
    """
    if settings.embedder.startswith(EVENT_PREFIX):
        return EventVectors.of(settings)
    return PictureVectors(embedder_of(settings), blobs, settings)


def embedder_of(settings: Settings) -> Embedder:
    """The embedder in the settings.

    One of: an ONNX file, an exported network, `timm:NAME`, `module:factory`, or a backbone.

    Each is imported only when it is named, because torch takes seconds to import.

    Raises
    ------
    MissingWeights, InvalidSettings, UnfitInt8
        As from the embedder's own class method.
    """
    named = settings.embedder
    if named.startswith(EVENT_PREFIX):
        raise InvalidSettings(
            f"GAZELOOP_EMBEDDER={named}: these vectors come with the events, so no image can be"
            " embedded here; set an embedder for this command"
        )
    if named.endswith(ONNX_SUFFIX):
        from services.embedder.models.card_embedder import CardEmbedder  # noqa: PLC0415

        return CardEmbedder.of_onnx(settings)
    if named.endswith(EXPORTED_SUFFIX):
        from services.embedder.models.exported_embedder import ExportedEmbedder  # noqa: PLC0415

        return ExportedEmbedder.of(settings)
    if named.startswith(TIMM_PREFIX):
        from services.embedder.models.card_embedder import CardEmbedder  # noqa: PLC0415

        return CardEmbedder.of_timm(settings)
    if ":" in named:
        from services.embedder.models.own_model import OwnEmbedder  # noqa: PLC0415

        return OwnEmbedder.of(settings)
    from services.embedder.models.torch_embedder import TorchEmbedder  # noqa: PLC0415

    return TorchEmbedder.of(settings)
