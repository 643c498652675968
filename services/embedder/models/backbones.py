"""The backbones by name: how each is built, its tapped layer, and its input sizes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torchvision.models
from torch import nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d

from services.contracts.errors import InvalidSettings
from services.embedder.models import homegrown, small

SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Neck:
    """The layers between a network's map and its last layer.

    Attributes
    ----------
    tap : name of the penultimate layer
    channels : of that layer
    grid : cells per side to which the map is averaged before these layers
    layers : returns these layers of a built model
    beyond : name prefixes of the layers after the tap
    """

    tap: str
    channels: int
    grid: int
    layers: Callable[[nn.Module], nn.Module]
    beyond: tuple[str, ...]


@dataclass(frozen=True)
class Backbone:
    """A network up to its tap.

    Attributes
    ----------
    tap : name of the layer whose map is pooled
    channels : of that map, and so the length of its vectors
    build : returns an untrained model with the layer names of published state dicts
    features : returns the model's part up to the tap
    head : name prefixes of the layers after the tap, which weights may lack or define differently
    neck : layers from the map to the penultimate layer; None if that is the pooled map
    shipped : included weights
    published : torchvision's name of its weights
    renamed : maps a layer's name in published weights to its current name
    frame_side, crop_side : pixels of a frame's longer side, and of a crop's sides
    least_side : least pixels of a frame's shorter side, below which the map is empty
    """

    name: str
    tap: str
    channels: int
    build: Callable[[], nn.Module]
    features: Callable[[nn.Module], nn.Module]
    head: tuple[str, ...] = ()
    neck: Neck | None = None
    shipped: Path | None = None
    published: str | None = None
    renamed: Callable[[str], str] = str
    frame_side: int = 384
    crop_side: int = 112
    least_side: int = 32


def _part(name: str) -> Callable[[nn.Module], nn.Module]:
    def part(model: nn.Module) -> nn.Module:
        found = model.get_submodule(name)
        assert isinstance(found, nn.Module)
        return found

    return part


def _first(name: str, count: int) -> Callable[[nn.Module], nn.Module]:
    """The first layers of one of the model's sequences."""

    def layers(model: nn.Module) -> nn.Module:
        return nn.Sequential(*list(_part(name)(model).children())[:count])

    return layers


def _without_head(model: nn.Module) -> nn.Module:
    # A ResNet's last two children pool and classify.
    return nn.Sequential(*list(model.children())[:-2])


def _untrained(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None)
        return model

    return build


def _resnet(name: str, published: str, channels: int) -> Backbone:
    return Backbone(
        name, "layer4", channels, _untrained(name), _without_head, ("fc.",), published=published
    )


def _with_neck(
    name: str, published: str, channels: int, neck: tuple[int, int], layers: int
) -> Backbone:
    """A network with a map `features` and a `classifier` of several layers.

    Parameters
    ----------
    neck : channels of the penultimate layer, and cells per side before the first
    layers : number of the classifier's layers before its last
    """
    penultimate, grid = neck
    return Backbone(
        name,
        "features",
        channels,
        _untrained(name),
        _part("features"),
        ("classifier.",),
        Neck(
            f"classifier.{layers - 1}",
            penultimate,
            grid,
            _first("classifier", layers),
            tuple(f"classifier.{place}." for place in range(layers, layers + 2)),
        ),
        published=published,
        least_side=64,
    )


_OLD_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Layer names in the published file: `norm.1`, which torchvision now calls `norm1`."""


def _densenet_name(name: str) -> str:
    return _OLD_DENSE_LAYER.sub(r"\1\2", name)


def _densenet_map(model: nn.Module) -> nn.Module:
    # torchvision applies the last ReLU in its `forward`.
    return nn.Sequential(_part("features")(model), nn.ReLU())


class _Pyramid(nn.Module):
    """The backbone and feature pyramid of Mask R-CNN, without its detection and mask heads."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet_fpn_backbone(
            # The published weights were trained with eps=0 instead of the usual 1e-5.
            backbone_name="resnet50",
            weights=None,
            norm_layer=partial(FrozenBatchNorm2d, eps=0.0),
        )


class _Level(nn.Module):
    """One level of a pyramid."""

    def __init__(self, pyramid: nn.Module, level: str) -> None:
        super().__init__()
        self.pyramid = pyramid
        self._level = level

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 256, H / 16, W / 16)."""
        mapped: torch.Tensor = self.pyramid(pixels)[self._level]
        return mapped


def _fourth_level(model: nn.Module) -> nn.Module:
    # P4 includes the last block by the pyramid's top-down path, at twice that block's resolution.
    return _Level(_part("backbone")(model), "2")


def _autoencoder(name: str) -> Backbone:
    return Backbone(
        name,
        "encoder",
        homegrown.CONVOLVED[-1],
        homegrown.ConvolutionalAutoencoder,
        _part("encoder"),
        ("decoder.",),
        frame_side=224,
        crop_side=64,
    )


def _pixels(model: nn.Module) -> nn.Module:
    del model
    return nn.Identity()


_BACKBONES = (
    Backbone(
        "gazeloop-small",
        "embedding",
        small.CHANNELS,
        small.GazeloopSmall,
        _part("features"),
        shipped=SHIPPED / "gazeloop-small.safetensors",
        frame_side=192,
        crop_side=48,
    ),
    _with_neck("alexnet", "AlexNet_Weights.IMAGENET1K_V1", 256, (4096, 6), 6),
    _with_neck("vgg19", "VGG19_Weights.IMAGENET1K_V1", 512, (4096, 7), 6),
    _resnet("resnet18", "ResNet18_Weights.IMAGENET1K_V1", 512),
    _resnet("resnet50", "ResNet50_Weights.IMAGENET1K_V2", 2048),
    _resnet("resnet152", "ResNet152_Weights.IMAGENET1K_V2", 2048),
    _resnet("resnext101_32x8d", "ResNeXt101_32X8D_Weights.IMAGENET1K_V2", 2048),
    Backbone(
        "densenet121",
        "features",
        1024,
        _untrained("densenet121"),
        _densenet_map,
        ("classifier.",),
        published="DenseNet121_Weights.IMAGENET1K_V1",
        renamed=_densenet_name,
    ),
    Backbone(
        "squeezenet1_0",
        "features",
        512,
        _untrained("squeezenet1_0"),
        _part("features"),
        ("classifier.",),
        shipped=SHIPPED / "squeezenet1_0.safetensors",
    ),
    _with_neck("mobilenet_v3_small", "MobileNet_V3_Small_Weights.IMAGENET1K_V1", 576, (1024, 1), 2),
    _with_neck("mobilenet_v3_large", "MobileNet_V3_Large_Weights.IMAGENET1K_V2", 960, (1280, 1), 2),
    Backbone(
        "maskrcnn_resnet50_fpn",
        "fpn.2",
        256,
        _Pyramid,
        _fourth_level,
        ("rpn.", "roi_heads."),
        published="MaskRCNN_ResNet50_FPN_Weights.COCO_V1",
    ),
    Backbone(
        "vanilla_ae",
        "pixels",
        3,
        homegrown.VanillaAutoencoder,
        _pixels,
        ("encoder.", "decoder."),
        Neck(
            "encoder",
            homegrown.DENSE_HIDDEN,
            homegrown.DENSE_SIDE,
            _part("encoder"),
            ("decoder.",),
        ),
        crop_side=homegrown.DENSE_SIDE,
    ),
    _autoencoder("conv_ae"),
    _autoencoder("denoising_ae"),
    Backbone(
        "mini_densenet",
        "features",
        homegrown.MINI_DENSENET_CHANNELS,
        homegrown.MiniDenseNet,
        _part("features"),
        frame_side=224,
    ),
    Backbone(
        "resnet18_scratch",
        "layer4",
        512,
        homegrown.resnet18_from_scratch,
        _without_head,
        ("fc.",),
        frame_side=224,
    ),
)
BY_NAME = {backbone.name: backbone for backbone in _BACKBONES}


def backbone_named(name: str) -> Backbone:
    """The backbone with this name.

    Raises
    ------
    InvalidSettings
        There is none.
    """
    if name not in BY_NAME:
        raise InvalidSettings(f"there is no embedder {name!r}; there are {', '.join(BY_NAME)}")
    return BY_NAME[name]
