"""Derives embedder settings from a model's id."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.contracts.identity import ModelId
from services.embedder.models.backbone_identity import NORMALISED

_ID = re.compile(
    r"(?P<backbone>.+)-[^-]+-(?P<pooling>[a-z]+)-side\d+(?P<scaled>dct)?-(?P<regions>crop|roi)[^-]*"
    rf"-{NORMALISED}(?:-whitened)?-\d+d-(?P<weights>[0-9a-f]{{8}})"
    r"(?:-(?P<precision>[a-z]+\d+)(?:-[0-9a-f]{8})?)?"
)
"""As `BackboneIdentity.model_id` puts it together."""


@dataclass(frozen=True)
class ModelSettings:
    """The settings that reproduce a model.

    Attributes
    ----------
    settings : by name, without the path of the weights, which the id does not contain
    weights : first eight digits of the hash of the weights' values
    """

    settings: Mapping[str, str]
    weights: str


def settings_of(model: ModelId) -> ModelSettings | None:
    """Parse a model's id; None if it is not an id of a backbone."""
    parts = _ID.fullmatch(model)
    if parts is None:
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
