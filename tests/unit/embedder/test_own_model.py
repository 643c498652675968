"""A model of the user's own package: what is asked of it, and what is refused."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from services.contracts.errors import InvalidSettings, Unprocessable
from services.embedder.embedder import Embedder
from services.embedder.models.choosing import embedder_of
from services.runtime.settings import Settings

BOXES = np.array([[10.0, 5.0, 40.0, 30.0], [60.5, 20.25, 25.0, 50.0]])


class MeanColours:
    """A frame's mean colour, and a box's mean colour with its area."""

    def identity(self) -> str:
        return "mean-colours.1"

    def dimensions(self) -> tuple[int, int]:
        return 3, 4

    def embed(
        self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float64]]
    ) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        return [
            (
                np.asarray(image).mean(axis=(0, 1)),
                np.array([[3, 0, 4, 0]] * len(box)).reshape(-1, 4),
            )
            for image, box in zip(images, boxes, strict=True)
        ]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], Embedder]:
    """The embedder of a factory in an importable module."""

    def chosen(factory: object) -> Embedder:
        module = ModuleType("somebodys_model")
        module.__dict__["factory"] = factory
        monkeypatch.setitem(__import__("sys").modules, "somebodys_model", module)
        return embedder_of(Settings(embedder="somebodys_model:factory"))

    return chosen


def test_vectors_come_scaled_to_unit_length(named: Callable[[object], Embedder]) -> None:
    embedder = named(MeanColours)
    red, grey = embedder.embed(
        [Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), (7, 7, 7))], [BOXES, BOXES[:0]]
    )
    assert embedder.model_id == "own-mean-colours.1-3d-4d"
    assert np.allclose(red.frame, [1, 0, 0])
    assert np.allclose(grey.frame, np.full(3, 3**-0.5))
    assert np.allclose(red.regions, [[0.6, 0, 0.8, 0]] * 2)
    assert grey.regions.shape == (0, 4)
    assert red.frame.dtype == red.regions.dtype == np.float32
    assert embedder.embed([], []) == []


class Misnamed(MeanColours):
    def identity(self) -> str:
        return "a name/with a path"


class Sizeless(MeanColours):
    def dimensions(self) -> tuple[int, int]:
        return 0, 4


class Forgetful(MeanColours):
    def embed(self, images: Any, boxes: Any) -> Any:
        return super().embed(images, boxes)[1:]


class Raising(MeanColours):
    def embed(self, images: Any, boxes: Any) -> Any:
        del images, boxes
        raise OSError("weights.bin is not there")


class Choosy(MeanColours):
    def embed(self, images: Any, boxes: Any) -> Any:
        if any(image.width < 5 for image in images):
            raise RuntimeError("kernel size can't be greater than actual input size")
        return super().embed(images, boxes)


class Unnamed(MeanColours):
    def identity(self) -> Any:
        return 5


class OneLength(MeanColours):
    def dimensions(self) -> Any:
        return 3


class Nothing(MeanColours):
    def embed(self, images: Any, boxes: Any) -> Any:
        del images, boxes


class NoVectors(MeanColours):
    def embed(self, images: Any, boxes: Any) -> Any:
        del boxes
        return [3 for _ in images]


def needs_a_word(word: str) -> None:
    del word


class Longer(MeanColours):
    def dimensions(self) -> tuple[int, int]:
        return 3, 5


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Misnamed, "its identity"),
        (Sizeless, "its dimensions are 0 and 4"),
        (Forgetful, "vectors of 0 images, and got 1"),
        (Longer, r"an array \(2, 4\); \(2, 5\) is expected"),
        (dict, "returned dict, which lacks identity"),
        (Unnamed, "its identity 5"),
        (OneLength, "raised TypeError"),
        (Nothing, "raised TypeError"),
        (NoVectors, "raised TypeError"),
        (Raising, "raised OSError: weights.bin is not there"),
        (needs_a_word, "missing 1 required positional argument"),
    ],
)
def test_a_model_that_breaks_its_word_is_refused(
    named: Callable[[object], Embedder], factory: object, message: str
) -> None:
    with pytest.raises(InvalidSettings, match=message):
        named(factory).embed([Image.new("RGB", (90, 90))], [BOXES])


@pytest.mark.parametrize(
    "name", ["no_such_package:factory", "json:no_such_factory", ":factory", ".a:factory"]
)
def test_a_factory_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InvalidSettings, match=r"installed where gazeloop runs"):
        embedder_of(Settings(embedder=name))


def test_a_value_that_is_no_number_counts_as_nothing(named: Callable[[object], Embedder]) -> None:
    class Overflowing(MeanColours):
        def embed(self, images: Any, boxes: Any) -> Any:
            del images, boxes
            return [(np.array([np.nan, np.inf, 2.0]), np.zeros((2, 4)))]

    (vectors,) = named(Overflowing).embed([Image.new("RGB", (9, 9))], [BOXES])
    assert vectors.frame.tolist() == [0, 0, 1]
    assert not vectors.regions.any()


def test_a_factory_that_exits_is_named(named: Callable[[object], Embedder]) -> None:
    def script() -> object:
        raise SystemExit(2)

    with pytest.raises(InvalidSettings, match="raised SystemExit: 2"):
        named(script)


def test_an_image_that_a_model_cannot_take_is_refused_and_others_are_not(
    named: Callable[[object], Embedder],
) -> None:
    embedder = named(Choosy)
    large, small = Image.new("RGB", (90, 90)), Image.new("RGB", (3, 3))
    for images in ([large, small], [small]):
        with pytest.raises(Unprocessable, match="kernel size"):
            embedder.embed(images, [BOXES[:0]] * len(images))
    assert len(embedder.embed([large], [BOXES])) == 1
