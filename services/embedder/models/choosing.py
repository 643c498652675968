"""Chooses the embedder that the settings name."""

from services.embedder.embedder import Embedder
from services.runtime.settings import Settings

ONNX_SUFFIX = ".onnx"
TIMM_PREFIX = "timm:"


def embedder_of(settings: Settings) -> Embedder:
    """The embedder in the settings: an ONNX file, `timm:NAME`, `module:factory`, or a backbone.

    Each is imported only when it is named, because torch takes seconds to import.

    Raises
    ------
    MissingWeights, InvalidSettings, UnfitInt8
        As from the embedder's own class method.
    """
    named = settings.embedder
    if named.endswith(ONNX_SUFFIX):
        from services.embedder.models.card_embedder import CardEmbedder  # noqa: PLC0415

        return CardEmbedder.of_onnx(settings)
    if named.startswith(TIMM_PREFIX):
        from services.embedder.models.card_embedder import CardEmbedder  # noqa: PLC0415

        return CardEmbedder.of_timm(settings)
    if ":" in named:
        from services.embedder.models.own_model import OwnEmbedder  # noqa: PLC0415

        return OwnEmbedder.of(settings)
    from services.embedder.models.torch_embedder import TorchEmbedder  # noqa: PLC0415

    return TorchEmbedder.of(settings)
