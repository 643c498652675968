"""The weights that come along, on real photographs beside the least that there is."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.benchmark.measuring import embed
from services.benchmark.models import Choice, embedder_of
from services.embedder.models.torch_embedder import TorchEmbedder
from services.embedder.training.choices import LabelRule, Looked
from services.embedder.training.labelled import Example, LabelledFrame, LabelledObject, examples
from services.formats.items import FrameItem
from services.formats.readers.voc import read_voc
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
PHOTOS = SHARED / "trapedesveh"
SOURCE = SHARED / "squeezenet1_0_imagenet" / "squeezenet1_0_songhan_dc_torchvision.pth"
LIMITS = ImageLimits.of(Settings())
FRAMES = 30
"""Of 230: all of them take a minute (docs/measurements/embedding.md has the figures)."""


@pytest.fixture(scope="module")
def objects() -> list[Example]:
    """The annotated objects of some street photos."""
    if not (PHOTOS.exists() and SOURCE.exists()):
        reason = f"{PHOTOS} and {SOURCE} are not here"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    items = [item for item in read_voc(PHOTOS, images=PHOTOS).items if isinstance(item, FrameItem)]
    frames = [_labelled(item) for item in items[:: len(items) // FRAMES]]
    return examples(frames, Looked.CROPS, LabelRule.LARGEST)


def _labelled(item: FrameItem) -> LabelledFrame:
    assert item.image is not None
    truths = [annotation.value for annotation in item.annotations or ()]
    found = tuple(LabelledObject(truth.category, truth.bbox) for truth in truths)
    return LabelledFrame(item.frame_id, item.frame_id, item.image.read_bytes, LIMITS, found)


def nearest_is_alike(objects: list[Example], name: str) -> float:
    """P@1 among the objects of other photos."""
    embedder = embedder_of(Choice.parse(name), Settings(), None)
    vectors = embed(embedder, objects, None, lambda _: None).vectors
    similar = vectors @ vectors.T
    frame = np.array([example.frame.frame_id for example in objects])
    label = np.array([example.label for example in objects])
    similar[frame[:, None] == frame] = -1
    asked = [np.any((label == label[q]) & (frame != frame[q])) for q in range(len(objects))]
    return float(np.mean((label[similar.argmax(1)] == label)[asked]))


def test_the_default_beats_random_weights_and_colours_by_a_wide_margin(
    objects: list[Example],
) -> None:
    default = Settings().embedder
    assert len(objects) > 100

    names = (default, f"{default}@random", "hsv-histogram")
    found, drawn, colours = (nearest_is_alike(objects, name) for name in names)

    assert found > 0.8
    assert found > drawn + 0.2
    assert found > colours + 0.2


def test_stored_in_half_the_bytes_they_give_the_same_vectors(objects: list[Example]) -> None:
    some = objects[:40]
    settings = Settings(embedder="squeezenet1_0")

    computed = _vectors(settings, some)
    theirs = _vectors(settings.model_copy(update={"weights": SOURCE}), some)

    assert float((computed * theirs).sum(axis=1).min()) > 0.9999
    assert not np.array_equal(computed, theirs)


def _vectors(settings: Settings, objects: list[Example]) -> NDArray[np.float32]:
    return embed(TorchEmbedder.of(settings), objects, None, lambda _: None).vectors
