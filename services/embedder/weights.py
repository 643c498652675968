"""Weights: found, checked, and put into a backbone."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
import torchvision.models
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings, MissingWeights
from services.embedder.backbones import Backbone

State = Mapping[str, Tensor]

_WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Under which training scripts keep a state dict among other things."""
_COUNTER = "num_batches_tracked"
"""Batch normalisation's own count, which old files lack and inference does not use."""


def load_backbone(backbone: Backbone, path: Path | None, sha256: str) -> nn.Module:
    """The backbone with weights: from a file, else its own.

    Parameters
    ----------
    path : safetensors, or a state dict as torch saves it
    sha256 : of the file, in hexadecimal; empty: any

    Raises
    ------
    MissingWeights
        There are none, or not those of the sha256, or they cannot be read.
    InvalidSettings
        They are another network's.
    """
    source = path or backbone.shipped
    state = read_weights(source, sha256) if source else _published(backbone)
    model = backbone.build()
    fill(model, state, backbone, source)
    return model


def read_weights(path: Path, sha256: str = "") -> State:
    """The state dict in a file. Nothing in it is run.

    Raises
    ------
    MissingWeights
        It is not there, not the one of the sha256, or no state dict.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise MissingWeights(f"no weights at {path}: {exc.strerror}") from exc
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256.lower():
        raise MissingWeights(f"{path} has the sha256 {found}, not {sha256}")
    state = _parse(path, content)
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise MissingWeights(f"{path} holds no state dict of tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _parse(path: Path, content: bytes) -> State:
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(content)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as exc:
        raise MissingWeights(f"{path} cannot be read as weights: {exc}") from exc
    for wrapper in _WRAPPERS:
        if isinstance(held, Mapping) and isinstance(held.get(wrapper), Mapping):
            held = held[wrapper]
    return held if isinstance(held, Mapping) else {}


def _published(backbone: Backbone) -> State:
    assert backbone.published is not None
    weights = torchvision.models.get_weight(backbone.published)
    try:
        state: State = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, TimeoutError, RuntimeError) as exc:
        raise MissingWeights(
            f"the weights of {backbone.name} could not be downloaded ({exc}): fetch {weights.url} "
            "elsewhere and set GAZELOOP_WEIGHTS to the file, or use GAZELOOP_EMBEDDER="
            "gazeloop-small, whose weights are shipped"
        ) from exc
    return state


def fill(model: nn.Module, state: State, backbone: Backbone, source: Path | None) -> None:
    """Put a state dict into a model, up to the backbone's tap.

    Raises
    ------
    InvalidSettings
        A layer is missing, unknown, or of another shape; it is named.
    """
    where = f"{source or backbone.published} does not fit {backbone.name}"
    wanted = {n: t for n, t in model.state_dict().items() if not n.startswith(backbone.head)}
    given = {n: t for n, t in state.items() if not n.startswith(backbone.head)}
    missing = [name for name in wanted if name not in given and not name.endswith(_COUNTER)]
    if missing:
        raise InvalidSettings(f"{where}: it lacks {missing[0]} ({len(missing)} missing in all)")
    for name, tensor in given.items():
        if name not in wanted:
            raise InvalidSettings(f"{where}: the layer {name} is unknown")
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
            raise InvalidSettings(f"{where}: the layer {name} is {shapes}")
    model.load_state_dict(given, strict=False)


def digest(model: nn.Module) -> str:
    """sha256 of a module's parameters and buffers, whatever file they came in."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not name.endswith(_COUNTER):
            total.update(name.encode())
            total.update(tensor.detach().to(torch.float32).contiguous().numpy().tobytes())
    return total.hexdigest()
