"""Which runtime computes the network's map: what is set, else the fastest that is there."""

import torch

from services.contracts.errors import InvalidSettings
from services.embedder.forward import Forward, Precision, Runtime, TorchForward
from services.embedder.network import Network
from services.runtime.settings import Settings


def forward_of(network: Network, settings: Settings) -> Forward:
    """The network's features as the settings and this machine want them computed.

    Raises
    ------
    InvalidSettings
        A GPU is asked for where there is none.
    """
    runtime, precision = runtime_of(settings), Precision(settings.embed_precision)
    if runtime is Runtime.OPENVINO:
        return _by_openvino(network, precision, settings)
    device = torch.device("cuda" if runtime is Runtime.CUDA else "cpu")
    return TorchForward(network.features, device, precision)


def runtime_of(settings: Settings) -> Runtime:
    """The runtime that is set, else the fastest that is there.

    Raises
    ------
    InvalidSettings
        `cuda` is set, and there is no GPU.
    """
    there = torch.cuda.is_available()
    if settings.embed_runtime == "auto":
        return Runtime.CUDA if there else Runtime.OPENVINO
    if settings.embed_runtime == "cuda" and not there:
        raise InvalidSettings(
            "GAZELOOP_EMBED_RUNTIME is cuda, and torch sees no GPU: set it to auto or openvino"
        )
    return Runtime(settings.embed_runtime)


def _by_openvino(network: Network, precision: Precision, settings: Settings) -> Forward:
    # Importing it takes half a second, which a GPU's user need not wait for.
    from services.embedder import openvino_forward  # noqa: PLC0415

    model = openvino_forward.converted(network.features)
    return openvino_forward.OpenVinoForward(model, precision, settings.torch_threads)
