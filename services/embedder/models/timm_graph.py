"""A network of timm's, by name, with the user's weights file."""

from dataclasses import dataclass
from typing import Any

import torch

from services.contracts.errors import InvalidSettings, MissingWeights
from services.embedder.models.choosing import TIMM_PREFIX
from services.embedder.models.crops import Pixels
from services.embedder.models.model_card import (
    FixedInput,
    MapOutput,
    ModelCard,
    ScaledInput,
    TokensOutput,
)
from services.embedder.models.onnx_graph import Outputs
from services.embedder.models.weights import digest, read_weights
from services.runtime.settings import Settings

_FEATURES = "features"
_FRAME_SIDE, _CROP_SIDE, _MULTIPLE = 384, 112, 16
_TOKENS_RANK = 3


@dataclass(frozen=True)
class TimmNetwork:
    """A network with weights, as `CardEmbedder` takes it."""

    graph: "TimmGraph"
    card: ModelCard
    sha256: str


def timm_network(settings: Settings) -> TimmNetwork:
    """The network that `GAZELOOP_EMBEDDER=timm:NAME` and `GAZELOOP_WEIGHTS` name.

    Raises
    ------
    InvalidSettings
        timm or the network's name is unknown, or the weights do not fit.
    MissingWeights
        There is no weights file, or it cannot be read.
    """
    name = settings.embedder.removeprefix(TIMM_PREFIX)
    model, config = _built(name)
    if settings.weights is None:
        raise MissingWeights(
            f"{TIMM_PREFIX}{name} needs its weights: set GAZELOOP_WEIGHTS to a file of safetensors,"
            " or a state dict"
        )
    state = read_weights(settings.weights, settings.weights_sha256)
    head = tuple(f"{part}." for part in _classifiers(model))
    try:
        missing, unknown = model.load_state_dict(
            {key: value for key, value in state.items() if not key.startswith(head)}, strict=False
        )
    except RuntimeError as exc:
        raise InvalidSettings(f"{settings.weights} does not fit {name}: {exc}") from exc
    if missing or unknown:
        wrong = f"it lacks {missing[0]}" if missing else f"the layer {unknown[0]} is unknown"
        raise InvalidSettings(f"{settings.weights} does not fit {name}: {wrong}")
    model = model.eval().requires_grad_(requires_grad=False)
    torch.set_num_threads(settings.torch_threads)
    graph = TimmGraph(model, config["mean"], config["std"])
    return TimmNetwork(graph, _card(name, model, config), digest(model))


def _built(name: str) -> tuple[Any, dict[str, Any]]:
    try:
        # An extra, which most installations lack.
        import timm  # noqa: PLC0415
        import timm.data  # noqa: PLC0415
    except ImportError as exc:
        raise InvalidSettings(
            f"GAZELOOP_EMBEDDER={TIMM_PREFIX}{name} needs timm: pip install 'gazeloop[timm]'"
        ) from exc
    if name not in timm.list_models():
        raise InvalidSettings(f"timm {timm.__version__} has no network {name!r}")
    model = timm.create_model(name, pretrained=False, num_classes=0)
    return model, timm.data.resolve_data_config({}, model=model)


def _classifiers(model: Any) -> tuple[str, ...]:
    named = model.pretrained_cfg.get("classifier") or "head"
    return (named,) if isinstance(named, str) else tuple(named)


def _card(name: str, model: Any, config: dict[str, Any]) -> ModelCard:
    _, height, width = config["input_size"]
    fixed = bool(model.pretrained_cfg.get("fixed_input_size"))
    first = getattr(model, "num_prefix_tokens", 0)
    with torch.inference_mode():
        shape = model.forward_features(torch.zeros(1, 3, height, width)).shape
    patches = shape[1] - first if len(shape) == _TOKENS_RANK else 0
    regions = (
        TokensOutput(
            kind="tokens",
            output=_FEATURES,
            patch=round((height * width / patches) ** 0.5),
            first_tokens=first,
        )
        if patches
        else MapOutput(output=_FEATURES)
    )
    return ModelCard(
        name=name,
        licence="of the weights' publisher",
        input=FixedInput(width=width, height=height)
        if fixed or patches
        else ScaledInput(longer_side=_FRAME_SIDE, multiple_of=_MULTIPLE, crop_side=_CROP_SIDE),
        mean=config["mean"],
        deviation=config["std"],
        regions=regions,
    )


class TimmGraph:
    """A Graph on torch: `forward_features`, with channels first."""

    def __init__(self, model: Any, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        self._model = model
        self._mean = torch.tensor(mean) * 255
        self._deviation = torch.tensor(deviation) * 255
        self._channels_last = getattr(model, "output_fmt", "") == "NHWC"

    @torch.inference_mode()
    def __call__(self, pixels: Pixels) -> Outputs:
        values = (torch.from_numpy(pixels).to(torch.float32) - self._mean) / self._deviation
        found = self._model.forward_features(values.permute(0, 3, 1, 2))
        if self._channels_last:
            found = found.permute(0, 3, 1, 2)
        return {_FEATURES: found.to(torch.float32).numpy()}
