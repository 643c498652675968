"""Vectors as a separate, plainer computation gives them; identities; odd boxes."""

import dataclasses
import json
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import roi_align

from services.contracts.errors import InvalidSettings
from services.embedder.models.backbones import backbone_named
from services.embedder.models.map_embedder import RegionEncoder
from services.embedder.models.network import load_network, network_of
from services.embedder.models.pooling import Pooling
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.settings import Settings
from tests.integration.embedder.pictures import BOXES, picture
from tests.unit.embedder import networks
from tests.unit.embedder.networks import small_sided

NAMES = ("gazeloop-small", "resnet18", "squeezenet1_0")
"""One of each shape; test_backbones.py looks at all."""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@cache
def untrained(name: str, seed: int = 0) -> nn.Module:
    return networks.untrained(backbone_named(name), seed)


def embedder(
    name: str = "gazeloop-small",
    *,
    pooling: Pooling = Pooling.PENULTIMATE,
    regions: RegionEncoder = RegionEncoder.CROP,
    seed: int = 0,
) -> TorchEmbedder:
    network = network_of(small_sided(name), untrained(name, seed), pooling)
    return TorchEmbedder(network, regions)


def plain_map(name: str, image: Image.Image) -> Tensor:
    """The backbone's map of an image, reckoned without the embedder's code."""
    backbone = backbone_named(name)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.inference_mode():
        mapped: Tensor = backbone.features(untrained(name))(((pixels - mean) / deviation)[None])
    return mapped


def unit(vectors: Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = (vectors / vectors.norm(dim=-1, keepdim=True)).numpy()
    return values


def scaled(image: Image.Image) -> Image.Image:
    return image.resize((64, 48), Image.Resampling.BILINEAR, reducing_gap=2.0)


@pytest.mark.parametrize("regions", RegionEncoder)
def test_a_frames_vector_is_the_mean_of_its_map(name: str, regions: RegionEncoder) -> None:
    [vectors] = embedder(name, regions=regions).embed([picture()], [BOXES])

    expected = unit(plain_map(name, scaled(picture())).mean(dim=(2, 3)))[0]

    assert vectors.frame == pytest.approx(expected, abs=1e-5)
    assert vectors.frame.dtype == np.float32
    assert np.linalg.norm(vectors.frame) == pytest.approx(1, abs=1e-6)


def test_regions_by_roi_are_aligned_on_the_frames_own_map(name: str) -> None:
    [vectors] = embedder(name, regions=RegionEncoder.ROI).embed([picture()], [BOXES])

    mapped = plain_map(name, scaled(picture()))
    per_pixel = torch.tensor([mapped.shape[3] / 128, mapped.shape[2] / 96]).repeat(2)
    x, y, width, height = torch.from_numpy(BOXES).float().T
    corners = torch.stack([x, y, x + width, y + height], dim=1) * per_pixel
    expected = unit(roi_align(mapped, [corners], 7, aligned=True).mean(dim=(2, 3)))

    assert vectors.regions == pytest.approx(expected, abs=1e-5)


def test_regions_by_crop_join_the_box_and_the_box_with_context(name: str) -> None:
    [vectors] = embedder(name, regions=RegionEncoder.CROP).embed([picture()], [BOXES])

    looks = []
    for left, top, right, bottom in ((10, 5, 50, 35), (0, 0, 70, 50)):
        part = picture().resize(
            (32, 32), Image.Resampling.BILINEAR, (left, top, right, bottom), reducing_gap=2.0
        )
        looks.append(unit(plain_map(name, part).mean(dim=(2, 3)))[0])
    # The second look at the first box is cut off where the image ends.
    expected = np.concatenate(looks) / np.sqrt(2)

    assert vectors.regions[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("regions", RegionEncoder)
def test_vectors_do_not_depend_on_who_shares_the_batch(regions: RegionEncoder) -> None:
    model = embedder(regions=regions)
    images = [picture(), picture(200, 150, seed=1), picture(96, 128, seed=2)]
    boxes = [BOXES, np.empty((0, 4)), BOXES[:1]]

    together = model.embed(images, boxes)

    for place in range(3):
        [alone] = model.embed([images[place]], [boxes[place]])
        assert together[place].frame == pytest.approx(alone.frame, abs=1e-5)
        assert together[place].regions == pytest.approx(alone.regions, abs=1e-5)


@pytest.mark.parametrize("regions", RegionEncoder)
def test_dimensions_are_those_that_were_announced(name: str, regions: RegionEncoder) -> None:
    model = embedder(name, regions=regions)

    [vectors, boxless] = model.embed([picture(), picture()], [BOXES, np.empty((0, 4))])

    assert vectors.frame.shape == (model.frame_dimension,)
    assert vectors.regions.shape == (2, model.region_dimension)
    assert boxless.regions.shape == (0, model.region_dimension)


def test_no_images_give_no_vectors() -> None:
    assert embedder().embed([], []) == []


@pytest.mark.parametrize("regions", RegionEncoder)
@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 128, 96),
        (-50, -50, 500, 500),
        (500, 500, 10, 10),
        (-40, 10, 30, 30),
        (3, 3, 1e-3, 1e-3),
        (127.9, 95.9, 50, 50),
        (1e12, -1e12, 1e-300, 1e300),
    ],
)
def test_any_box_has_a_finite_unit_vector(
    regions: RegionEncoder, box: tuple[float, float, float, float]
) -> None:
    [vectors] = embedder(regions=regions).embed([picture()], [np.array([box], float)])

    length = np.linalg.norm(vectors.regions[0])
    # RoIAlign finds nothing at all outside its map.
    assert length == pytest.approx(1, abs=1e-5) or length == 0


def test_frames_of_any_shape_are_embedded() -> None:
    model = embedder()
    images = [picture(1, 1), picture(3000, 2), picture(2, 3000), picture(17, 31)]

    vectors = model.embed(images, [np.empty((0, 4))] * 4)

    assert all(np.isfinite(vector.frame).all() for vector in vectors)


def test_gem_pooling_is_the_cubic_mean_of_what_is_positive() -> None:
    model = embedder("resnet18", pooling=Pooling.GEM)

    [vectors] = model.embed([picture()], [BOXES])

    mapped = plain_map("resnet18", scaled(picture())).clamp(min=1e-6)
    expected = unit((mapped**3).mean(dim=(2, 3)) ** (1 / 3))[0]
    assert vectors.frame == pytest.approx(expected, abs=1e-5)


def test_whatever_shapes_the_vectors_is_in_the_models_identity() -> None:
    backbone = dataclasses.replace(small_sided("gazeloop-small"), crop_side=64)
    network = network_of(backbone, untrained("gazeloop-small"), Pooling.AVERAGE)
    wider = TorchEmbedder(network, RegionEncoder.CROP)
    models = [
        embedder(),
        embedder(seed=1),
        embedder(pooling=Pooling.GEM),
        embedder(pooling=Pooling.RMAC),
        embedder(pooling=Pooling.GRID),
        embedder(regions=RegionEncoder.ROI),
        embedder("resnet18"),
        wider,
    ]

    assert len({model.model_id for model in models}) == len(models)
    assert embedder().model_id == embedder(pooling=Pooling.AVERAGE).model_id
    assert "-imagenet-128d-" in embedder().model_id
    assert all(len(model.model_id) < 150 for model in models)


def test_settings_choose_the_embedder() -> None:
    default = TorchEmbedder.of(Settings())
    other = TorchEmbedder.of(Settings(region_encoder="roi", pooling="gem"))

    assert default.model_id.startswith("squeezenet1_0-")
    assert default.model_id != other.model_id
    with pytest.raises(InvalidSettings, match="resnet18"):
        TorchEmbedder.of(Settings(embedder="resnet19"))


@pytest.mark.parametrize("name", ["gazeloop-small", "squeezenet1_0"])
def test_shipped_weights_are_those_that_their_card_names(name: str) -> None:
    shipped = backbone_named(name).shipped
    assert shipped is not None
    card = json.loads(shipped.with_suffix(".json").read_bytes())

    load_network(Settings(embedder=name, weights=shipped, weights_sha256=card["sha256"]))

    assert card["name"] == name
    assert shipped.stat().st_size < 2_000_000


def test_what_others_have_made_is_shipped_with_its_licence() -> None:
    shipped = backbone_named("squeezenet1_0").shipped
    assert shipped is not None
    text = shipped.with_name("LICENSE-squeezenet1_0").read_text()

    assert "Redistribution and use in source and binary forms" in text
    assert 'THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"' in text


def test_the_small_networks_card_says_what_training_was_worth() -> None:
    shipped = backbone_named("gazeloop-small").shipped
    assert shipped is not None
    measured = json.loads(shipped.with_suffix(".json").read_bytes())["metrics"]
    trained = measured["precision_at_10_on_other_drives"]
    assert trained > measured["precision_at_10_on_other_drives_untrained"] + 0.3
