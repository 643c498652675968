"""Writes weights with a whitening fitted on examples."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save

from services.contracts.errors import Invalid, InvalidSettings
from services.embedder.models import weights
from services.embedder.models.backbones import backbone_named
from services.embedder.models.map_embedder import CONTEXTS, RegionEncoder
from services.embedder.models.network import network_of, resolved
from services.embedder.models.pooling import Pooling
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.models.whitening import fit_whitening
from services.embedder.training.cards import write_with_card
from services.embedder.training.labelled import Example
from services.embedder.training.training_run import up_to_tap
from services.runtime.settings import Settings


def write_whitened(
    settings: Settings,
    examples: Sequence[Example],
    dimension: int,
    target: Path,
    advance: Callable[[int], None],
) -> Path:
    """Fit a whitening on the examples' vectors, and write weights, whitening and card.

    Parameters
    ----------
    settings : embedder, weights and pooling
    target : safetensors file; the card is written next to it
    advance : called with the number of newly embedded examples

    Raises
    ------
    InvalidSettings
        There are too few examples.
    """
    backbone = backbone_named(settings.embedder)
    method = resolved(backbone, Pooling(settings.pooling))
    model = weights.load_plain(backbone, settings.weights, settings.weights_sha256, method)
    embedder = TorchEmbedder(network_of(backbone, model, method), RegionEncoder.CROP)
    vectors = _looks(embedder, examples, advance)
    fitted = fit_whitening(vectors, dimension)
    content = save(dict(weights.with_whitening(up_to_tap(backbone, model, method), fitted, method)))
    card = {
        "name": backbone.name,
        "pooling": method,
        "whitened_on": len(vectors),
        "dimension": dimension,
        "of": embedder.frame_dimension,
        "before": embedder.model_id,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return write_with_card(target, content, card)


def _looks(
    embedder: TorchEmbedder, examples: Sequence[Example], advance: Callable[[int], None]
) -> NDArray[np.float32]:
    """(N, C) unit vectors: of whole frames, or of each crop of each box."""
    parts = []
    for _, group in groupby(examples, key=lambda example: example.frame.frame_id):
        batch = list(group)
        try:
            image = batch[0].frame.read()
        except Invalid:
            advance(len(batch))
            continue
        boxes = np.array([example.box for example in batch if example.box], np.float64).reshape(
            -1, 4
        )
        [found] = embedder.embed([image], [boxes])
        looks = found.regions.reshape(-1, embedder.frame_dimension) * np.sqrt(len(CONTEXTS))
        parts.append(looks.astype(np.float32) if len(boxes) else found.frame[None])
        advance(len(batch))
    if not parts:
        raise InvalidSettings("there is no annotated frame that could be read")
    return np.concatenate(parts)
