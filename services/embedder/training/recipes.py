"""Training recipes: the reports' own settings for their networks, and fine-tuning for the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.embedder.models.backbones import Backbone
from services.embedder.training.choices import Looked, Start


class TrainingTask(StrEnum):
    """The task in training."""

    RECONSTRUCT = "reconstruct"
    """Reconstruct the input; mean squared error."""
    CLASSIFY = "classify"
    """Predict the label; cross-entropy."""


@dataclass(frozen=True)
class Recipe:
    """A task and its hyperparameters; the optimiser is Adam with betas .9 and .999.

    Attributes
    ----------
    decoupled : whether weight decay is decoupled, as in AdamW
    noise : share of the input's values that are zeroed
    """

    task: TrainingTask
    start: Start
    rate: float = 1e-3
    decay: float = 0.0
    epsilon: float = 1e-8
    decoupled: bool = False
    noise: float = 0.0


_FINE_TUNED = Recipe(TrainingTask.CLASSIFY, Start.WEIGHTS, rate=1e-4, decay=0.01, decoupled=True)
_HOME_GROWN: Mapping[str, Recipe] = {
    "vanilla_ae": Recipe(TrainingTask.RECONSTRUCT, Start.RANDOM),
    "conv_ae": Recipe(TrainingTask.RECONSTRUCT, Start.RANDOM),
    "denoising_ae": Recipe(TrainingTask.RECONSTRUCT, Start.RANDOM, noise=0.3),
    "mini_densenet": Recipe(TrainingTask.CLASSIFY, Start.RANDOM),
    "resnet18_scratch": Recipe(TrainingTask.CLASSIFY, Start.RANDOM, decay=0.01, epsilon=1e-5),
}
_FRAME_SIDE = 224


def recipe_of(backbone: Backbone) -> Recipe:
    """The recipe for this backbone."""
    return _HOME_GROWN.get(backbone.name, _FINE_TUNED)


def side_of(backbone: Backbone, looked: Looked) -> int:
    """Pixels per side of the backbone's training images."""
    if looked is Looked.CROPS or backbone.tap == "pixels":
        return backbone.crop_side
    return min(_FRAME_SIDE, backbone.frame_side)
