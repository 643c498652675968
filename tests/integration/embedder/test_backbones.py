"""Every backbone, by one interface: its vectors, and torchvision's own as the oracle."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.models
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings, MissingWeights
from services.embedder.models.backbones import BY_NAME, Backbone, backbone_named
from services.embedder.models.map_embedder import RegionEncoder
from services.embedder.models.network import Network, load_network, network_of
from services.embedder.models.normalising import normalised
from services.embedder.models.pooling import Pooling
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.settings import Settings
from tests.integration.embedder.pictures import BOXES, picture
from tests.unit.embedder.networks import drawn, small_sided, untrained

PENULTIMATE = {
    "gazeloop-small": 128,
    "alexnet": 4096,
    "vgg19": 4096,
    "resnet18": 512,
    "resnet50": 2048,
    "resnet152": 2048,
    "resnext101_32x8d": 2048,
    "densenet121": 1024,
    "squeezenet1_0": 512,
    "mobilenet_v3_small": 1024,
    "mobilenet_v3_large": 1280,
    "maskrcnn_resnet50_fpn": 256,
    "vanilla_ae": 256,
    "conv_ae": 128,
    "denoising_ae": 128,
    "mini_densenet": 1024,
    "resnet18_scratch": 512,
}
PUBLISHED = sorted(name for name, backbone in BY_NAME.items() if backbone.published)
SHIPPED = sorted(name for name, backbone in BY_NAME.items() if backbone.shipped)


@pytest.fixture(scope="module", params=sorted(BY_NAME))
def network(request: pytest.FixtureRequest) -> Network:
    backbone = small_sided(request.param)
    return network_of(backbone, untrained(backbone), Pooling.PENULTIMATE)


@pytest.mark.parametrize("regions", RegionEncoder)
def test_vectors_are_of_the_announced_length_and_the_same_batched_or_alone(
    network: Network, regions: RegionEncoder
) -> None:
    model = TorchEmbedder(network, regions)
    images = [picture(), picture(96, 128, seed=1)]
    boxes = [BOXES, BOXES[:1]]

    together = model.embed(images, boxes)

    assert model.frame_dimension == PENULTIMATE[network.backbone.name]
    for image, box, vectors in zip(images, boxes, together, strict=True):
        assert vectors.frame.shape == (model.frame_dimension,)
        assert vectors.regions.shape == (len(box), model.region_dimension)
        assert np.linalg.norm(vectors.frame) == pytest.approx(1, abs=1e-5)
        assert np.linalg.norm(vectors.regions, axis=1) == pytest.approx(1, abs=1e-5)
        [alone] = model.embed([image], [box])
        assert alone.frame == pytest.approx(vectors.frame, abs=1e-5)
        assert alone.regions == pytest.approx(vectors.regions, abs=1e-5)
    assert np.abs(together[0].regions[0] - together[0].regions[1]).max() > 1e-4


def test_a_frame_of_any_shape_has_a_vector(network: Network) -> None:
    thin = picture(3000, 2)

    [vectors] = TorchEmbedder(network, RegionEncoder.ROI).embed([thin], [np.empty((0, 4))])

    assert np.linalg.norm(vectors.frame) == pytest.approx(1, abs=1e-5)


class _InputOf:
    """What a layer was last given."""

    def __init__(self, layer: nn.Module) -> None:
        self.seen: Tensor | None = None
        layer.register_forward_pre_hook(self._look)

    def _look(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        del layer
        self.seen = given[0]


@pytest.fixture(scope="module", params=[*PUBLISHED, "squeezenet1_0"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Backbone, nn.Module, Path]]:
    """A model by torchvision's own constructor, and its state dict in a file."""
    with torch.device("meta"):
        model = torchvision.models.get_model(request.param, weights=None, **_without(request.param))
    model = drawn(model)
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.pth"
    torch.save(model.state_dict(), path)
    yield backbone_named(request.param), model, path
    path.unlink()


def _without(name: str) -> dict[str, None]:
    return {"weights_backbone": None} if name.startswith("maskrcnn") else {}


def test_torchvisions_own_files_give_what_torchvisions_own_forward_has_before_its_last_layer(
    stored: tuple[Backbone, nn.Module, Path],
) -> None:
    backbone, model, path = stored
    pixels = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)

    network = load_network(Settings(embedder=backbone.name, weights=path))

    with torch.inference_mode():
        computed = network.head(network.features(normalised(pixels)))[0]
        theirs = _before_the_last_layer(model, normalised(pixels))
    assert computed.numpy() == pytest.approx((theirs / theirs.norm()).numpy(), abs=1e-5)


def _before_the_last_layer(model: nn.Module, pixels: Tensor) -> Tensor:
    if isinstance(model, torchvision.models.detection.MaskRCNN):
        for layer in model.backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0  # as torchvision sets it for these weights
        level: Tensor = model.backbone(pixels)["2"]
        return level.mean(dim=(2, 3))[0]
    if isinstance(model, torchvision.models.SqueezeNet):
        mapped: Tensor = model.features(pixels)
        return mapped.mean(dim=(2, 3))[0]
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
    spy = _InputOf(last)
    model(pixels)
    assert spy.seen is not None
    return spy.seen[0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_are_those_of_the_backbone(name: str) -> None:
    published = backbone_named(name).published
    assert published is not None

    assert torchvision.models.get_weight(published) in torchvision.models.get_model_weights(name)


def test_densenets_published_names_are_todays(tmp_path: Path) -> None:
    backbone = backbone_named("densenet121")
    state = untrained(backbone).state_dict()
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): tensor
        for name, tensor in state.items()
    }
    assert old.keys() != state.keys()
    paths = tmp_path / "old.pth", tmp_path / "new.pth"
    for path, held in zip(paths, (old, state), strict=True):
        torch.save(held, path)

    one, other = (load_network(Settings(embedder="densenet121", weights=path)) for path in paths)

    assert one.sha256 == other.sha256


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {*PUBLISHED, *SHIPPED}))
def test_home_grown_backbones_say_how_to_train_them(name: str) -> None:
    with pytest.raises(MissingWeights, match=f"gazeloop train --backbone {name}"):
        load_network(Settings(embedder=name))


@pytest.mark.parametrize("name", ["alexnet", "mobilenet_v3_small"])
def test_a_pooled_map_needs_no_further_layers_and_the_penultimate_does(
    name: str, tmp_path: Path
) -> None:
    state = untrained(backbone_named(name)).state_dict()
    path = tmp_path / "features.pth"
    torch.save({n: t for n, t in state.items() if n.startswith("features.")}, path)

    pooled = load_network(Settings(embedder=name, weights=path, pooling="average"))

    assert pooled.head.dimension == backbone_named(name).channels
    with pytest.raises(InvalidSettings, match=r"lacks classifier\."):
        load_network(Settings(embedder=name, weights=path))


def test_raw_pixels_are_not_pooled() -> None:
    backbone = backbone_named("vanilla_ae")

    with pytest.raises(InvalidSettings, match="GAZELOOP_POOLING=penultimate"):
        network_of(backbone, untrained(backbone), Pooling.GEM)


def test_resnet18_from_scratch_flattens_to_the_reports_25088() -> None:
    backbone = backbone_named("resnet18_scratch")

    network = network_of(backbone, untrained(backbone), Pooling.GRID)

    assert network.head.dimension == 25_088
    with torch.inference_mode():
        assert network.head(torch.rand(2, 512, 7, 12)).shape == (2, 25_088)


@pytest.mark.parametrize(("name", "dense"), [("vanilla_ae", True), ("conv_ae", False)])
def test_autoencoders_give_back_an_image_of_the_same_size(name: str, dense: bool) -> None:
    side = backbone_named(name).crop_side
    model = drawn(backbone_named(name).build())

    pixels = torch.rand(2, 3, side, side)

    with torch.inference_mode():
        code = model.get_submodule("encoder")(pixels.flatten(1) if dense else pixels)
        image = model.get_submodule("decoder")(code)

    assert image.shape == (2, 3, side, side)
    assert 0 <= image.min() <= image.max() <= 1
