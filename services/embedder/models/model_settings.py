"""The settings of the embedder that a model's id stands for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.contracts.identity import ModelId
from services.embedder.models.backbones import BY_NAME

_ID = re.compile(
    r"(?P<backbone>.+)-[^-]+-(?P<pooling>[a-z]+)-side\d+(?P<scaled>dct)?-(?P<regions>crop|roi)[^-]*"
    r"-[a-z]+(?:-whitened)?-\d+d-(?P<weights>[0-9a-f]{8})"
    r"(?:-(?P<precision>[a-z]+\d+)(?:-[0-9a-f]{8})?)?"
)
"""As `TorchEmbedder.model_id` puts it together."""


@dataclass(frozen=True)
class ModelSettings:
    """What makes a model again.

    Attributes
    ----------
    settings : by name, beside the weights' file, which the id does not know
    weights : the first eight digits of what its values hash to
    """

    settings: Mapping[str, str]
    weights: str


def settings_of(model: ModelId) -> ModelSettings | None:
    """What the id says; none where it is not one of ours."""
    parts = _ID.fullmatch(model)
    if parts is None or parts["backbone"] not in BY_NAME:
        return None
    settings = {
        "embedder": parts["backbone"],
        "pooling": parts["pooling"],
        "region_encoder": parts["regions"],
    }
    if parts["regions"] == "roi":
        settings["embed_decode"] = "scaled" if parts["scaled"] else "full"
    if parts["precision"]:
        settings["embed_precision"] = parts["precision"]
    return ModelSettings(settings, parts["weights"])
