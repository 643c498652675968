"""Training learns, stops, goes on as if it had not stopped, and says when it has collapsed."""

import dataclasses
import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch import Tensor

from services.contracts.errors import InvalidSettings
from services.embedder.models.backbones import backbone_named
from services.embedder.models.network import load_network
from services.embedder.training.checkpoints import TrainingProgress
from services.embedder.training.choices import LabelRule, Looked, Start
from services.embedder.training.data import held_out_drives
from services.embedder.training.fitting import Schedule, Stopped
from services.embedder.training.labelled import (
    Example,
    LabelledFrame,
    LabelledObject,
    examples,
    letterboxed,
)
from services.embedder.training.recipes import TrainingTask, recipe_of, side_of
from services.embedder.training.training_run import Course, Trained, train
from services.embedder.training.whitened import write_whitened
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings

LIMITS = ImageLimits.of(Settings())
COLOURS = {"stop": (220, 30, 30), "go": (30, 200, 60)}
CPU = torch.device("cpu")


def picture(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(90, 150, (48, 96, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    draw.rectangle((4, 8, 35, 39), fill=COLOURS["stop"])
    draw.ellipse((52, 8, 83, 39), fill=COLOURS["go"])
    return image


def content(number: int) -> bytes:
    file = io.BytesIO()
    picture(number).save(file, "PNG")
    return file.getvalue()


def frame(number: int, drives: int = 6) -> LabelledFrame:
    objects = LabelledObject("stop", (4, 8, 32, 32)), LabelledObject("go", (52, 8, 32, 32))
    return LabelledFrame(
        f"f{number:02d}", f"d{number % drives}", partial(content, number), LIMITS, objects
    )


@pytest.fixture(scope="module")
def crops() -> list[Example]:
    return examples([frame(number) for number in range(12)], Looked.CROPS, LabelRule.MOST_FREQUENT)


def _ignored(count: int) -> None:
    del count


class Onlooker:
    """Stops after so many steps in all, and remembers what it was shown."""

    def __init__(self, steps: int = 10**9) -> None:
        self.left = steps
        self.history: list[dict[str, float]] = []

    def read(self, count: int) -> None:
        assert count > 0

    def stepped(self, progress: TrainingProgress, steps: int) -> None:
        assert progress.step <= steps
        self.left -= 1

    def measured(self, progress: TrainingProgress) -> None:
        self.history = [*progress.history]

    def stops(self) -> bool:
        return self.left <= 0


def course(
    folder: Path,
    name: str = "gazeloop-small",
    *,
    epochs: int = 2,
    rate: float | None = None,
    start: Start = Start.RANDOM,
    half: bool = False,
) -> Course:
    backbone = dataclasses.replace(backbone_named(name), crop_side=32)
    if name == "vanilla_ae":
        backbone = backbone_named(name)
    recipe = dataclasses.replace(recipe_of(backbone), start=start)
    if rate is not None:
        recipe = dataclasses.replace(recipe, rate=rate)
    return Course(
        backbone,
        Looked.CROPS,
        LabelRule.MOST_FREQUENT,
        "a street",
        recipe,
        Schedule(epochs=epochs, batch=4, patience=epochs, seed=3, half=half),
        0.34,
        folder,
    )


def run(
    asked: Course,
    found: list[Example],
    onlooker: Onlooker | None = None,
    settings: Settings | None = None,
) -> Trained:
    return train(asked, found, settings or Settings(), CPU, onlooker or Onlooker())


def card_of(trained: Trained) -> dict[str, dict[str, float]]:
    card: dict[str, dict[str, float]] = json.loads(
        trained.weights.with_suffix(".json").read_bytes()
    )
    return card


@pytest.mark.parametrize(
    "name", ["vanilla_ae", "conv_ae", "denoising_ae", "mini_densenet", "gazeloop-small"]
)
def test_every_kind_of_network_learns_and_its_file_is_an_embedder(
    name: str, tmp_path: Path, crops: list[Example]
) -> None:
    onlooker = Onlooker()

    trained = run(course(tmp_path, name, epochs=2, rate=1e-3), crops, onlooker)

    losses = [row["loss"] for row in onlooker.history[1:]]
    assert losses[-1] < losses[0]
    network = load_network(Settings(embedder=name, weights=trained.weights))
    assert network.head.dimension > 0
    card = card_of(trained)
    assert card["data"]["learnt_from"] + card["data"]["held_out"] == 24
    assert card["metrics"]["map_at_100_on_held_out_drives"] > 0
    assert not (tmp_path / "work").exists()


def test_weights_that_are_not_of_a_training_are_not_overwritten(
    tmp_path: Path, crops: list[Example]
) -> None:
    there = course(tmp_path)
    settings = Settings(embedder=there.backbone.name)
    write_whitened(settings, crops, 8, there.weights, _ignored)
    before = there.weights.read_bytes()

    with pytest.raises(InvalidSettings, match="no card of a training"):
        run(there, crops)

    assert there.weights.read_bytes() == before
    there.weights.with_suffix(".json").write_text("{")
    with pytest.raises(InvalidSettings, match="no card of a training"):
        run(there, crops)


def test_a_run_that_was_stopped_ends_with_the_same_weights(
    tmp_path: Path, crops: list[Example]
) -> None:
    whole = run(course(tmp_path / "whole", epochs=3), crops)
    stops = 0
    stopped = course(tmp_path / "stopped", epochs=3)
    while True:
        try:
            again = run(stopped, crops, Onlooker(steps=3))
        except Stopped:
            stops += 1
        else:
            break

    assert stops >= 3
    # Else the weights that are compared would be those of before the stops.
    assert card_of(whole)["metrics"]["best_epoch"] == 3
    one, other = (load_file(trained.weights) for trained in (whole, again))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert card_of(whole)["metrics"] == card_of(again)["metrics"]


def test_what_is_trained_is_not_trained_again(tmp_path: Path, crops: list[Example]) -> None:
    first = run(course(tmp_path, epochs=1), crops)
    content = first.weights.read_bytes()

    second = run(course(tmp_path, epochs=1), crops, Onlooker(steps=0))

    assert (first.before, second.before) == (False, True)
    assert second.weights.read_bytes() == content


def test_another_run_in_the_same_folder_is_refused(tmp_path: Path, crops: list[Example]) -> None:
    with pytest.raises(Stopped):
        run(course(tmp_path), crops, Onlooker(steps=2))

    with pytest.raises(InvalidSettings, match="choose another --to"):
        run(course(tmp_path, rate=0.5), crops)


def test_a_broken_checkpoint_is_named(tmp_path: Path, crops: list[Example]) -> None:
    with pytest.raises(Stopped):
        run(course(tmp_path), crops, Onlooker(steps=2))
    (tmp_path / "work" / "checkpoint.pt").write_bytes(b"broken")

    with pytest.raises(InvalidSettings, match=r"checkpoint\.pt cannot be read: delete it"):
        run(course(tmp_path), crops)


def test_fine_tuning_begins_with_the_weights_and_random_does_not(
    tmp_path: Path, crops: list[Example]
) -> None:
    tuned = run(course(tmp_path / "tuned", epochs=1, rate=1e-9, start=Start.WEIGHTS), crops)
    fresh = run(course(tmp_path / "fresh", epochs=1, rate=1e-9), crops)

    own = backbone_named("gazeloop-small").shipped
    assert own is not None
    name = "features.0.0.weight"
    before = load_file(own)[name].float()
    assert torch.allclose(load_file(tuned.weights)[name], before, atol=1e-5)
    assert not torch.allclose(load_file(fresh.weights)[name], before, atol=1e-2)


def test_mixed_precision_learns_too(tmp_path: Path, crops: list[Example]) -> None:
    onlooker = Onlooker()

    run(course(tmp_path, epochs=2, half=True), crops, onlooker)

    assert onlooker.history[2]["loss"] < onlooker.history[1]["loss"]


def test_an_embedding_that_collapses_is_said(
    tmp_path: Path, crops: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    def zeros(self: object, pixels: Tensor) -> Tensor:
        del self
        return torch.zeros(len(pixels), 8)

    monkeypatch.setattr("services.embedder.training.objectives.Objective.vectors", zeros)

    onlooker = Onlooker()
    trained = run(course(tmp_path, epochs=1), crops, onlooker)

    assert all(row["collapsed"] for row in onlooker.history)
    assert "100% of the vectors are zero" in str(card_of(trained)["metrics"]["collapsed"])


def test_frames_that_cannot_be_read_are_left_out_and_counted(
    tmp_path: Path, crops: list[Example]
) -> None:
    bad = dataclasses.replace(frame(20), content=lambda: b"")
    found = [*crops, *examples([bad], Looked.CROPS, LabelRule.MOST_FREQUENT)]

    trained = run(course(tmp_path, epochs=1), found)

    assert card_of(trained)["data"]["unreadable_frames"] == 1


def test_too_few_drives_are_refused_with_the_remedy(tmp_path: Path) -> None:
    found = examples([frame(n, drives=2) for n in range(6)], Looked.CROPS, LabelRule.LARGEST)

    with pytest.raises(InvalidSettings, match="2 drives, but holding some out needs at least 4"):
        run(course(tmp_path), found)


def test_one_label_alone_is_refused(tmp_path: Path, crops: list[Example]) -> None:
    with pytest.raises(InvalidSettings, match="at least two labels"):
        run(course(tmp_path), [crop for crop in crops if crop.label == "go"])


def test_drives_are_held_out_the_same_for_the_same_seed() -> None:
    drives = [f"d{number}" for number in range(40)]

    held = held_out_drives(drives, 0.2, seed=1)

    assert len(held) == 8
    assert held == held_out_drives([*reversed(drives)] * 2, 0.2, seed=1)
    assert held != held_out_drives(drives, 0.2, seed=2)


def test_a_frames_label_is_its_most_frequent_category_or_its_largest() -> None:
    objects = (
        LabelledObject("car", (0, 0, 50, 50)),
        LabelledObject("sign", (0, 0, 5, 5)),
        LabelledObject("sign", (9, 9, 5, 5)),
        LabelledObject("tree", (0, 0, 9, 9)),
    )
    one = LabelledFrame("f", "d", bytes, LIMITS, objects)
    empty = LabelledFrame("e", "d", bytes, LIMITS, ())
    tied = dataclasses.replace(one, objects=(objects[3], objects[0]))

    def labels(rule: LabelRule) -> list[str]:
        return [example.label for example in examples([one, empty, tied], Looked.FRAMES, rule)]

    assert labels(LabelRule.MOST_FREQUENT) == ["sign", "car"]
    assert labels(LabelRule.LARGEST) == ["car", "car"]


def test_letterboxing_scales_the_longer_side_and_pads_the_rest() -> None:
    square = np.asarray(letterboxed(Image.new("RGB", (200, 100), (255, 0, 0)), 64))

    assert square.shape == (64, 64, 3)
    assert (square[16:48] == (255, 0, 0)).all()
    assert (square[:16] == (124, 116, 104)).all()


def test_recipes_are_the_reports() -> None:
    scratch = recipe_of(backbone_named("resnet18_scratch"))

    assert (scratch.rate, scratch.decay, scratch.epsilon) == (1e-3, 0.01, 1e-5)
    assert recipe_of(backbone_named("denoising_ae")).noise > 0
    assert recipe_of(backbone_named("vanilla_ae")).task is TrainingTask.RECONSTRUCT
    assert recipe_of(backbone_named("resnet50")).start is Start.WEIGHTS
    assert side_of(backbone_named("resnet50"), Looked.FRAMES) == 224


def test_whitening_fitted_on_examples_shortens_the_vectors(
    tmp_path: Path, crops: list[Example]
) -> None:
    target = tmp_path / "white.safetensors"

    def settings(weights: Path | None = None) -> Settings:
        return Settings(embedder="gazeloop-small", weights=weights)

    write_whitened(settings(), crops, 8, target, _ignored)

    network = load_network(settings(target))
    assert (network.head.dimension, network.head.whitens) == (8, True)
    card = json.loads((tmp_path / "white.json").read_bytes())
    assert (card["whitened_on"], card["dimension"], card["of"]) == (48, 8, 128)
    again = tmp_path / "again.safetensors"
    write_whitened(settings(target), crops, 4, again, _ignored)
    assert load_network(settings(again)).head.dimension == 4
