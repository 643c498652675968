"""The backbones by name: how each is built, where it is tapped, what it was trained to see."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torchvision.models
from torch import nn

from services.contracts.errors import InvalidSettings
from services.embedder import small

SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Backbone:
    """A network up to its tap.

    Attributes
    ----------
    tap : name of the layer whose map is pooled
    channels : of that map, hence the length of its vectors
    build : an untrained model with the names that published state dicts use
    features : the model's part up to the tap
    head : prefixes of the names beyond the tap, which weights may lack or have otherwise
    shipped : weights that come with the project
    published : torchvision's name of its own weights
    frame_side, crop_side : pixels of a frame's longer side, and of a crop's sides
    """

    name: str
    tap: str
    channels: int
    build: Callable[[], nn.Module]
    features: Callable[[nn.Module], nn.Module]
    head: tuple[str, ...]
    shipped: Path | None = None
    published: str | None = None
    frame_side: int = 384
    crop_side: int = 112


def _features(model: nn.Module) -> nn.Module:
    part = model.get_submodule("features")
    assert isinstance(part, nn.Module)
    return part


def _without_head(model: nn.Module) -> nn.Module:
    # A ResNet's last two children pool and classify.
    return nn.Sequential(*list(model.children())[:-2])


def _resnet(name: str, published: str, channels: int) -> Backbone:
    def build() -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None)
        return model

    return Backbone(name, "layer4", channels, build, _without_head, ("fc.",), published=published)


def _squeezenet() -> nn.Module:
    model: nn.Module = torchvision.models.squeezenet1_0(weights=None)
    return model


_BACKBONES = (
    Backbone(
        "gazeloop-small",
        "embedding",
        small.CHANNELS,
        small.GazeloopSmall,
        _features,
        (),
        shipped=SHIPPED / "gazeloop-small.safetensors",
        frame_side=192,
        crop_side=48,
    ),
    Backbone(
        "squeezenet1_0",
        "features",
        512,
        _squeezenet,
        _features,
        ("classifier.",),
        published="SqueezeNet1_0_Weights.IMAGENET1K_V1",
    ),
    _resnet("resnet18", "ResNet18_Weights.IMAGENET1K_V1", 512),
    _resnet("resnet50", "ResNet50_Weights.IMAGENET1K_V2", 2048),
)
BY_NAME = {backbone.name: backbone for backbone in _BACKBONES}


def backbone_named(name: str) -> Backbone:
    """The backbone of this name.

    Raises
    ------
    InvalidSettings
        There is none.
    """
    if name not in BY_NAME:
        raise InvalidSettings(f"there is no embedder {name!r}; there are {', '.join(BY_NAME)}")
    return BY_NAME[name]
