"""Chooses the runtime for the network's forward pass: the one in the settings, else the fastest."""

import torch

from services.contracts.errors import InvalidSettings, UnfitInt8
from services.embedder.models.forward import Forward, Runtime, TorchForward
from services.embedder.models.network import Network
from services.embedder.models.precision import Precision
from services.runtime.settings import Settings


def forward_of(network: Network, settings: Settings) -> Forward:
    """The network's features on the runtime and in the precision that apply.

    Raises
    ------
    InvalidSettings
        As from `runtime_of`.
    UnfitInt8
        As from `read_int8`.
    """
    runtime, precision = runtime_of(settings), Precision(settings.embed_precision)
    if precision is Precision.INT8:
        return _in_8_bits(network, settings)
    if runtime is Runtime.OPENVINO:
        return _by_openvino(network, precision, settings)
    device = torch.device("cuda" if runtime is Runtime.CUDA else "cpu")
    return TorchForward(network.features, device, precision)


def runtime_of(settings: Settings) -> Runtime:
    """The runtime in the settings, else the fastest that is available.

    Raises
    ------
    InvalidSettings
        `cuda` is set without a GPU; or int8 is set with a runtime other than OpenVINO.
    """
    has_gpu = torch.cuda.is_available()
    if Precision(settings.embed_precision) is Precision.INT8:
        if settings.embed_runtime not in ("auto", Runtime.OPENVINO):
            raise InvalidSettings(
                "GAZELOOP_EMBED_PRECISION is int8, which OpenVINO alone computes: set"
                " GAZELOOP_EMBED_RUNTIME to auto or openvino"
            )
        return Runtime.OPENVINO
    if settings.embed_runtime == "auto":
        return Runtime.CUDA if has_gpu else Runtime.OPENVINO
    if settings.embed_runtime == "cuda" and not has_gpu:
        raise InvalidSettings(
            "GAZELOOP_EMBED_RUNTIME is cuda, and torch sees no GPU: set it to auto or openvino"
        )
    return Runtime(settings.embed_runtime)


def _in_8_bits(network: Network, settings: Settings) -> Forward:
    from services.embedder.models import int8, openvino_forward  # noqa: PLC0415  # as below

    quantised = int8.read_int8(settings.embed_int8, settings.embed_int8_sha256, network)
    return openvino_forward.OpenVinoForward(
        quantised.model(UnfitInt8),
        Precision.INT8,
        settings.torch_threads,
        quantised.sha256,
    )


def _by_openvino(network: Network, precision: Precision, settings: Settings) -> Forward:
    # Imported only when used, because the import takes half a second.
    from services.embedder.models import openvino_forward  # noqa: PLC0415

    model = openvino_forward.converted(network.features)
    return openvino_forward.OpenVinoForward(model, precision, settings.torch_threads)
