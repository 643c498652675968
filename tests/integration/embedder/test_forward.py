"""Maps by every runtime, beside torch's own on the same pixels."""

import sys
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from services.contracts.errors import InvalidSettings
from services.embedder.embedder import FrameVectors
from services.embedder.models.backbones import backbone_named
from services.embedder.models.crops import Pixels
from services.embedder.models.forward import Forward, Runtime, TorchForward
from services.embedder.models.forward_choice import forward_of, runtime_of
from services.embedder.models.map_embedder import RegionEncoder
from services.embedder.models.network import Network, network_of
from services.embedder.models.normalising import Normalise, normalised
from services.embedder.models.openvino_forward import OpenVinoForward, converted
from services.embedder.models.pooling import Pooling
from services.embedder.models.precision import Precision
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.settings import Settings
from tests.unit.embedder.networks import small_sided, untrained

CPU = torch.device("cpu")
NAMES = (
    "conv_ae",
    "gazeloop-small",
    "mini_densenet",
    "mobilenet_v3_small",
    "resnet18",
    "vanilla_ae",
)
"""One of each kind of layer; the larger ones take seconds each to convert."""


@cache
def network(name: str) -> Network:
    return network_of(small_sided(name), untrained(backbone_named(name)), Pooling.PENULTIMATE)


def pixels(count: int = 3, height: int = 64, width: int = 96) -> Pixels:
    coarse = np.random.default_rng(5).integers(0, 255, (count, 8, 8, 3), dtype=np.uint8)
    scaled = [Image.fromarray(item).resize((width, height)) for item in coarse]
    return np.stack([np.asarray(image) for image in scaled])


def plain(name: str, shown: Pixels) -> Tensor:
    with torch.inference_mode():
        mapped: Tensor = network(name).features(normalised(shown))
    return mapped


def cosines(mapped: Tensor, expected: Tensor) -> Tensor:
    return torch.cosine_similarity(mapped.flatten(1), expected.flatten(1))


def openvino(name: str, precision: Precision = Precision.FP32, threads: int = 1) -> Forward:
    return OpenVinoForward(converted(network(name).features), precision, threads)


@pytest.mark.parametrize("name", NAMES)
def test_openvinos_maps_are_those_of_torch(name: str) -> None:
    backbone = backbone_named(name)
    size = (64, 64) if backbone.tap == "pixels" else (64, 96)

    mapped = openvino(name)(pixels(1, *size))

    expected = plain(name, pixels(1, *size))
    assert mapped.shape == expected.shape
    assert mapped.dtype == torch.float32
    assert float(cosines(mapped, expected).min()) > 0.99999


@pytest.mark.parametrize("threads", [1, 3])
def test_frames_of_several_sizes_and_many_crops_go_through_one_network(threads: int) -> None:
    forward = openvino("gazeloop-small", threads=threads)

    for shown in (pixels(7, 224, 384), pixels(70, 48, 48), pixels(1, 208, 384)):
        expected = plain("gazeloop-small", shown)
        assert torch.allclose(forward(shown), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["gazeloop-small", "resnet18", "squeezenet1_0"])
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_half_precision_points_the_same_way(name: str, runtime: str) -> None:
    forward = (
        TorchForward(network(name).features, CPU, Precision.BF16)
        if runtime == "torch"
        else openvino(name, Precision.BF16)
    )

    mapped = forward(pixels())

    assert mapped.dtype == torch.float32
    assert float(cosines(mapped, plain(name, pixels())).min()) > 0.999


def test_precision_is_part_of_the_identity_and_the_runtime_is_not() -> None:
    one = network("gazeloop-small")
    forwards = [
        TorchForward(one.features, CPU),
        openvino("gazeloop-small"),
        TorchForward(one.features, CPU, Precision.BF16),
    ]

    ids = [TorchEmbedder(one, RegionEncoder.CROP, forward).model_id for forward in forwards]

    assert ids[0] == ids[1]
    assert ids[2] == f"{ids[0]}-bf16"


def test_the_runtime_is_chosen_at_start_and_can_be_forced() -> None:
    one = network("gazeloop-small")
    there = torch.cuda.is_available()

    assert isinstance(forward_of(one, Settings()), TorchForward if there else OpenVinoForward)
    assert isinstance(forward_of(one, Settings(embed_runtime="openvino")), OpenVinoForward)
    assert isinstance(forward_of(one, Settings(embed_runtime="torch")), TorchForward)


needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="not run: torch sees no GPU on this machine"
)


@needs_gpu
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("name", NAMES)
def test_a_gpus_maps_are_those_of_the_cpu(name: str, precision: Precision) -> None:
    forward = TorchForward(network(name).features, torch.device("cuda"), precision)
    size = (64, 64) if backbone_named(name).tap == "pixels" else (64, 96)

    mapped = forward(pixels(2, *size))

    least = 0.9999 if precision is Precision.FP32 else 0.999
    assert (mapped.device.type, mapped.dtype) == ("cuda", torch.float32)
    assert float(cosines(mapped.cpu(), plain(name, pixels(2, *size))).min()) > least


@needs_gpu
@pytest.mark.parametrize("pooling", [Pooling.AVERAGE, Pooling.GEM])
@pytest.mark.parametrize("regions", RegionEncoder)
def test_a_gpus_vectors_are_those_of_the_cpu(regions: RegionEncoder, pooling: Pooling) -> None:
    def vectors(device: str) -> FrameVectors:
        # A head moves to its forward's device, so each has its own.
        backbone = backbone_named("resnet18")
        one = network_of(small_sided("resnet18"), untrained(backbone), pooling)
        forward = TorchForward(one.features, torch.device(device))
        boxes = np.array([[10.0, 5.0, 40.0, 30.0]])
        return TorchEmbedder(one, regions, forward).embed([picture], [boxes])[0]

    picture = Image.fromarray(pixels(1)[0])
    expected, found = vectors("cpu"), vectors("cuda")

    assert found.frame == pytest.approx(expected.frame, abs=1e-3)
    assert found.regions == pytest.approx(expected.regions, abs=1e-3)


@needs_gpu
def test_a_gpu_is_taken_where_there_is_one() -> None:
    assert runtime_of(Settings()) is Runtime.CUDA


def test_what_a_gpu_compiles_can_be_traced_and_gives_the_same() -> None:
    """On a CPU, and without the last step, which makes machine code."""
    features = network("resnet18").features
    module = torch.nn.Sequential(Normalise(), features).to(memory_format=torch.channels_last)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        mapped = compiled(torch.from_numpy(pixels())).float()

    assert float(cosines(mapped, plain("resnet18", pixels())).min()) > 0.999


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidSettings, match="GPU"):
        forward_of(network("gazeloop-small"), Settings(embed_runtime="cuda"))


def test_nobody_is_told_that_openvino_is_in_use() -> None:
    assert sys.modules["openvino_telemetry"] is None
