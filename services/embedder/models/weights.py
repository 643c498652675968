"""Finds weights, checks them, and loads them into a backbone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
import torchvision.models
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings, MissingWeights
from services.embedder.models.backbones import Backbone
from services.embedder.models.checked_file import checked_content
from services.embedder.models.pooling import Pooling
from services.embedder.models.whitening import Whitening

State = Mapping[str, Tensor]

_WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts store the state dict in a checkpoint."""
_COUNTER = "num_batches_tracked"
"""Batch normalisation's counter, which old files lack and inference does not use."""
_WHITENING = "whitening."
UNREADABLE = (
    SafetensorError,
    UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)
"""What the readers raise for invalid files; torch raises the last three by accident."""


@dataclass(frozen=True)
class Loaded:
    """A model with weights up to its tap, and the whitening in the weights' file."""

    model: nn.Module
    whitening: Whitening | None


def load_backbone(backbone: Backbone, path: Path | None, sha256: str, method: Pooling) -> Loaded:
    """Load a backbone with weights from a file, else with its own.

    Parameters
    ----------
    path : safetensors, or a state dict saved by torch
    sha256 : of the file, in hexadecimal; empty for any
    method : resolved pooling; determines the last layer needed, and which whitening applies

    Raises
    ------
    MissingWeights
        There are no weights, they have another sha256, or they cannot be read.
    InvalidSettings
        The weights are another network's, or whitened for another pooling.
    """
    source = path or backbone.shipped
    state = read_weights(source, sha256) if source else _published(backbone)
    name = str(source or backbone.published)
    model = _filled(backbone, state, method, name)
    return Loaded(model, _whitening(state, method, _misfit(backbone, name)))


def load_plain(backbone: Backbone, path: Path | None, sha256: str, method: Pooling) -> nn.Module:
    """Like `load_backbone`, without the whitening in the weights' file."""
    source = path or backbone.shipped
    state = read_weights(source, sha256) if source else _published(backbone)
    return _filled(backbone, state, method, str(source or backbone.published))


def _filled(backbone: Backbone, state: State, method: Pooling, source: str) -> nn.Module:
    layers = {n: t for n, t in state.items() if not n.startswith(_WHITENING)}
    with torch.device("meta"):  # skips the random initialisation, which is slow for large networks
        model = backbone.build()
    fill(model, layers, backbone, method, _misfit(backbone, source))
    return model


def _misfit(backbone: Backbone, source: str) -> str:
    return f"{source} does not fit {backbone.name}"


def with_whitening(state: State, whitening: Whitening, method: Pooling) -> State:
    """The state dict with a whitening for vectors of this pooling added."""
    prefix = f"{_WHITENING}{method}."
    return {
        **state,
        f"{prefix}mean": torch.from_numpy(whitening.mean),
        f"{prefix}projection": torch.from_numpy(whitening.projection),
    }


def _whitening(state: State, method: Pooling, where: str) -> Whitening | None:
    held = sorted({n.split(".")[1] for n in state if n.startswith(_WHITENING)})
    if not held:
        return None
    if method not in held:
        raise InvalidSettings(
            f"{where}: it is whitened for the pooling {', '.join(held)} and not for {method}; set"
            f" GAZELOOP_POOLING={held[0]}, or whiten it for {method} with `gazeloop whiten`"
        )
    mean, projection = (
        state.get(f"{_WHITENING}{method}.{part}", torch.empty(0)).to(torch.float32).numpy()
        for part in ("mean", "projection")
    )
    if mean.ndim != 1 or projection.ndim != 2 or projection.shape[1:] != mean.shape:  # noqa: PLR2004  # rows and columns
        shapes = f"{mean.shape} and {projection.shape}"
        raise InvalidSettings(f"{where}: its whitening has the shapes {shapes}")
    return Whitening(mean, projection)


def read_weights(path: Path, sha256: str = "") -> State:
    """Read a state dict from a file, without executing code in it.

    Raises
    ------
    MissingWeights
        The file is missing, has another sha256, or contains no state dict.
    """
    state = _parse(path, checked_content(path, sha256, "weights", MissingWeights))
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise MissingWeights(f"{path} holds no state dict of tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _parse(path: Path, content: bytes) -> State:
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(content)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as exc:
        raise MissingWeights(f"{path} cannot be read as weights: {exc}") from exc
    for wrapper in _WRAPPERS:
        if isinstance(held, Mapping) and isinstance(held.get(wrapper), Mapping):
            held = held[wrapper]
    return held if isinstance(held, Mapping) else {}


def _published(backbone: Backbone) -> State:
    if backbone.published is None:
        raise MissingWeights(
            f"{backbone.name} has no published weights: train them with `gazeloop"
            f" train --backbone {backbone.name}` and set GAZELOOP_WEIGHTS to the file"
        )
    weights = torchvision.models.get_weight(backbone.published)
    try:
        state: State = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, TimeoutError, RuntimeError) as exc:
        raise MissingWeights(
            f"the weights of {backbone.name} could not be downloaded ({exc}): fetch {weights.url} "
            "elsewhere and set GAZELOOP_WEIGHTS to the file, or use GAZELOOP_EMBEDDER="
            "squeezenet1_0, whose weights are shipped"
        ) from exc
    return state


def fill(model: nn.Module, state: State, backbone: Backbone, method: Pooling, where: str) -> None:
    """Load a state dict into a model, up to the tap of this pooling.

    Raises
    ------
    InvalidSettings
        A layer is missing, unknown, or has another shape; the message names it.
    """
    neck = backbone.neck if method is Pooling.PENULTIMATE else None
    beyond = neck.beyond if neck else backbone.head
    wanted = {n: t for n, t in model.state_dict().items() if not n.startswith(beyond)}
    named = ((backbone.renamed(name), tensor) for name, tensor in state.items())
    tensors = {
        name: tensor
        for name, tensor in named
        if not name.startswith(beyond) and (name in wanted or not name.endswith(_COUNTER))
    }
    missing = [name for name in wanted if name not in tensors and not name.endswith(_COUNTER)]
    if missing:
        raise InvalidSettings(f"{where}: it lacks {missing[0]} ({len(missing)} missing in all)")
    for name, tensor in tensors.items():
        if name not in wanted:
            raise InvalidSettings(f"{where}: the layer {name} is unknown")
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
            raise InvalidSettings(f"{where}: the layer {name} is {shapes}")
    counters = {n: torch.zeros((), dtype=torch.int64) for n in wanted if n.endswith(_COUNTER)}
    values = {n: t.to(torch.float32) if t.is_floating_point() else t for n, t in tensors.items()}
    model.load_state_dict({**counters, **values}, strict=False, assign=True)


def digest(*modules: nn.Module) -> str:
    """sha256 of the modules' parameters and buffers, independent of the file's format."""
    total = hashlib.sha256()
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            if not name.endswith(_COUNTER):
                total.update(name.encode())
                total.update(tensor.detach().to(torch.float32).contiguous().numpy().tobytes())
    return total.hexdigest()
