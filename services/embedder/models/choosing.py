"""Chooses the embedder, or the other source of vectors, that the settings name."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

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
_INCLUDED: Final = Path(__file__).parent / "weights"
"""Folder of the included weights, and of their exports (`gazeloop models export`)."""
_GPUS: Final = ("nvidiactl", "nvmap", "kfd", "dxg")
"""Devices without which torch finds no GPU on Linux: NVIDIA's, Jetson's, AMD's and WSL's."""


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
    if _needs_torch(settings):
        from services.embedder.models.torch_embedder import TorchEmbedder  # noqa: PLC0415

        return TorchEmbedder.of(settings)
    from services.embedder.models.exported_embedder import ExportedEmbedder  # noqa: PLC0415

    # The same vectors and model id, without five seconds of CPU time in which torch is imported and
    # the network converted.
    return ExportedEmbedder.of(settings.model_copy(update={"embedder": str(_export(settings))}))


def _export(settings: Settings) -> Path:
    """Where the export of the backbone is, if it is included."""
    return _INCLUDED / f"{settings.embedder}{EXPORTED_SUFFIX}"


def _needs_torch(settings: Settings) -> bool:
    """Whether the backbone's included export, if any, does not do what the settings ask for."""
    return (
        settings.weights is not None
        or settings.weights_sha256 != ""
        or settings.pooling not in {"penultimate", "average"}
        or settings.embed_precision == "int8"
        or settings.embed_runtime not in {"auto", "openvino"}
        or (settings.embed_runtime == "auto" and _may_have_gpu())
        or _export(settings) not in _INCLUDED.glob(f"*{EXPORTED_SUFFIX}")
    )


def _may_have_gpu() -> bool:
    """Whether torch may find a GPU; only torch knows, and it takes seconds to import."""
    return find_spec("torch") is not None and any(Path("/dev", name).exists() for name in _GPUS)
