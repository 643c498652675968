"""Runs a training from examples to weights with their card."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson
import torch
from safetensors.torch import save
from torch import Tensor, nn

from services.contracts.errors import InvalidSettings
from services.domain.statistics.collapse import collapse_of
from services.embedder.models import weights
from services.embedder.models.backbones import Backbone
from services.embedder.models.network import resolved
from services.embedder.models.pooling import Pooling
from services.embedder.training.cards import write_with_card
from services.embedder.training.checkpoints import Checkpoint, TrainingProgress
from services.embedder.training.choices import LabelRule, Looked, Start
from services.embedder.training.data import TrainingData, digest_of, held_out_drives, prepared
from services.embedder.training.fitting import Conditions, Schedule, Watch, fit, vectors_of
from services.embedder.training.labelled import Example
from services.embedder.training.objectives import Objective, objective_of
from services.embedder.training.recipes import Recipe, TrainingTask, side_of
from services.runtime.settings import Settings

_MIN_LABELS = 2


@dataclass(frozen=True)
class Course:
    """The specification of a training run.

    Attributes
    ----------
    source : name of the data
    held_out : share of the drives that are held out
    folder : folder for checkpoint, weights and card
    """

    backbone: Backbone
    looked: Looked
    rule: LabelRule
    source: str
    recipe: Recipe
    schedule: Schedule
    held_out: float
    folder: Path

    @property
    def weights(self) -> Path:
        """The file of weights that the run writes; the card is next to it."""
        return self.folder / f"{self.backbone.name}.safetensors"


@dataclass(frozen=True)
class Trained:
    """The result of a training run.

    Attributes
    ----------
    card : the card next to the weights
    before : whether an earlier run had finished already
    """

    weights: Path
    card: Mapping[str, object]
    before: bool


def train(
    course: Course,
    examples: Sequence[Example],
    settings: Settings,
    device: torch.device,
    watch: Watch,
) -> Trained:
    """Run a training, or resume it.

    Parameters
    ----------
    settings : pooling, and the weights to start with

    Raises
    ------
    Stopped
        The watch stopped the run; the same call resumes it.
    InvalidSettings, MissingWeights
        Data or settings are unsuitable; the message names the remedy.
    """
    backbone = course.backbone
    method = resolved(backbone, Pooling(settings.pooling))
    held = held_out_drives([e.frame.drive for e in examples], course.held_out, course.schedule.seed)
    model = _begun(course, settings, method)
    fingerprint = _fingerprint(course, method, examples, model)
    earlier = _earlier_card(course.weights)
    if earlier is not None and earlier["fingerprint"] == fingerprint:
        return Trained(course.weights, earlier, before=True)
    data = prepared(
        examples, held, side_of(backbone, course.looked), course.folder / "work", watch.read
    )
    if course.recipe.task is TrainingTask.CLASSIFY and len(data.names) < _MIN_LABELS:
        raise InvalidSettings(
            f"all examples are {data.names[0]!r}; training needs at least two labels"
        )
    objective = objective_of(backbone, model, method, course.recipe, len(data.names))
    checkpoint = Checkpoint(course.folder / "work" / "checkpoint.pt", fingerprint)
    conditions = Conditions(course.recipe, course.schedule, device)
    progress = fit(objective, data, conditions, checkpoint, watch)
    objective.load_state_dict(progress.best)
    collapsed = _collapse(objective, data, device)
    metrics_card = _card(course, method, data, progress, collapsed)
    return _written(course, method, model.cpu(), {"fingerprint": fingerprint, **metrics_card})


def _earlier_card(trained: Path) -> Mapping[str, object] | None:
    """The card of an earlier training whose weights are there; None if there are none.

    Raises
    ------
    InvalidSettings
        The card is of something else, as of a whitening, which a training would overwrite.
    """
    path = trained.with_suffix(".json")
    if not path.exists():
        return None
    try:
        card = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        card = None
    if not isinstance(card, dict) or "fingerprint" not in card:
        raise InvalidSettings(
            f"{path} is no card of a training, and would be overwritten with {trained.name}: name"
            " another folder with --to, or move them"
        )
    return card


def _begun(course: Course, settings: Settings, method: Pooling) -> nn.Module:
    torch.manual_seed(course.schedule.seed)
    model = course.backbone.build()
    if course.recipe.start is Start.WEIGHTS:
        plain = weights.load_plain(
            course.backbone, settings.weights, settings.weights_sha256, method
        )
        state = plain.state_dict().items()
        model.load_state_dict({n: t for n, t in state if not t.is_meta}, strict=False)
    return model


def _fingerprint(
    course: Course, method: Pooling, examples: Sequence[Example], model: nn.Module
) -> str:
    content = {
        "backbone": course.backbone.name,
        "pooling": method,
        "recipe": asdict(course.recipe),
        "schedule": asdict(course.schedule),
        "held_out": course.held_out,
        "examples": digest_of(examples),
        "start": weights.digest(model),
    }
    return hashlib.sha256(orjson.dumps(content)).hexdigest()


def _card(
    course: Course,
    method: Pooling,
    data: TrainingData,
    progress: TrainingProgress,
    collapsed: str | None,
) -> dict[str, object]:
    return {
        "name": course.backbone.name,
        "data": {"source": course.source, "of": course.looked, **_data_facts(course, data)},
        "settings": {
            "pooling": method,
            "side": int(data.pixels.shape[1]),
            **asdict(course.recipe),
            **asdict(course.schedule),
        },
        "metrics": {**_measured(progress), "collapsed": collapsed, "history": progress.history},
        "made_with": f"torch {torch.__version__}",
    }


def _data_facts(course: Course, data: TrainingData) -> dict[str, object]:
    counts = Counter(data.names[label] for label in data.labels.tolist())
    learnt = int((~data.held_out).sum())
    return {
        "label": course.rule if course.looked is Looked.FRAMES else "category",
        "examples": dict(sorted(counts.items())),
        "learnt_from": learnt,
        "held_out": len(data.labels) - learnt,
        "drives": len(np.unique(data.drives)),
        "drives_held_out": len(np.unique(data.drives[data.held_out])),
        "unreadable_frames": len(data.unreadable),
    }


def _measured(progress: TrainingProgress) -> dict[str, object]:
    best, first = progress.history[progress.best_epoch], progress.history[0]
    return {
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "precision_at_1_on_held_out_drives": round(best["precision_at_1"], 4),
        "map_at_100_on_held_out_drives": round(best["map_at_100"], 4),
        "precision_at_1_before": round(first["precision_at_1"], 4),
        "map_at_100_before": round(first["map_at_100"], 4),
    }


def _collapse(objective: Objective, data: TrainingData, device: torch.device) -> str | None:
    held = np.flatnonzero(data.held_out)
    return collapse_of(vectors_of(objective, data.pixels, held, device))


def _written(
    course: Course, method: Pooling, model: nn.Module, card: Mapping[str, object]
) -> Trained:
    content = save(up_to_tap(course.backbone, model, method))
    stated = {
        **card,
        "stored_as": "float32",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_with_card(course.weights, content, stated)
    for file in (course.folder / "work").iterdir():
        file.unlink()
    (course.folder / "work").rmdir()
    return Trained(course.weights, stated, before=False)


def up_to_tap(backbone: Backbone, model: nn.Module, method: Pooling) -> dict[str, Tensor]:
    """The state dict of the layers that affect the vectors, with the names of published files."""
    neck = backbone.neck if method is Pooling.PENULTIMATE else None
    beyond = neck.beyond if neck else backbone.head
    return {
        name: tensor.detach().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith(beyond) and not tensor.is_meta
    }
