"""From a model's id back to the settings that made it."""

import pytest

from services.contracts.identity import ModelId
from services.embedder.models.backbones import BY_NAME
from services.embedder.models.model_settings import settings_of
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.settings import Settings

SMALL = {"embedder": "gazeloop-small", "embed_runtime": "torch"}


@pytest.mark.parametrize(
    "given",
    [
        {"pooling": "gem", "region_encoder": "crop"},
        {"pooling": "rmac", "region_encoder": "roi", "embed_decode": "full"},
        {"pooling": "average", "region_encoder": "roi", "embed_decode": "scaled"},
        {"pooling": "average", "region_encoder": "crop", "embed_precision": "bf16"},
    ],
)
def test_what_the_id_says_makes_the_same_model_again(given: dict[str, str]) -> None:
    model = TorchEmbedder.of(Settings.model_validate(SMALL | given)).model_id

    found = settings_of(model)

    assert found is not None
    assert found.settings == {"embedder": "gazeloop-small", **given}
    again = {"embed_runtime": "torch", **found.settings}
    assert TorchEmbedder.of(Settings.model_validate(again)).model_id == model
    assert found.weights in model


def test_the_default_model_is_said_by_its_plainest_names() -> None:
    model = TorchEmbedder.of(Settings.model_validate(SMALL)).model_id

    given = settings_of(model)

    assert given is not None
    again = {"embed_runtime": "torch", **given.settings}
    assert TorchEmbedder.of(Settings.model_validate(again)).model_id == model


def test_a_model_of_8_bits_is_told_from_that_of_32() -> None:
    made = "gazeloop-small-embedding-gem-side192-crop112x1x2-imagenet-whitened-128d-32c886fc"

    found = [settings_of(ModelId(name)) for name in (made, f"{made}-int8-01ab23cd")]

    assert [settings and settings.settings.get("embed_precision") for settings in found] == [
        None,
        "int8",
    ]
    assert [settings and settings.weights for settings in found] == ["32c886fc", "32c886fc"]


def test_an_id_can_be_taken_apart_whatever_the_backbone() -> None:
    assert not [backbone.name for backbone in BY_NAME.values() if "-" in backbone.tap]


@pytest.mark.parametrize("model", ["precomputed", "resnet9-x-gem-side1-crop-a-1d-12345678"])
def test_what_is_not_ours_says_nothing(model: str) -> None:
    assert settings_of(ModelId(model)) is None
