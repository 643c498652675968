"""Crops are what they are said to be, and training on them tells their labels apart."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from services.embedder.models.small import GazeloopSmall
from services.embedder.training.sampling import AnnotatedImage, SamplingPlan, sample
from services.embedder.training.small_training import (
    BACKGROUND,
    Crops,
    Plan,
    precision_at,
    train,
    vectors_of,
)

PLAN = SamplingPlan(side=32, per_object=4, background_per_image=8)
RED, BLUE = (220, 30, 30), (30, 60, 220)


def street(number: int) -> AnnotatedImage:
    """Grey noise with a red square, label 1, and a blue disc, label 2, on it."""
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(90, 150, (90, 160, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    x, y, u, v = (int(value) for value in rng.integers((5, 5, 90, 5), (50, 50, 130, 50)))
    draw.rectangle((x, y, x + 19, y + 19), fill=RED)
    draw.ellipse((u, v, u + 19, v + 19), fill=BLUE)
    return AnnotatedImage(
        image, np.array([[x, y, 20, 20], [u, v, 20, 20]], float), np.array([1, 2]), number
    )


@pytest.fixture(scope="module")
def crops() -> Crops:
    return sample((street(number) for number in range(24)), PLAN)


def test_every_object_and_image_gives_its_share_of_crops(crops: Crops) -> None:
    assert np.bincount(crops.labels).tolist() == [24 * 8, 24 * 4, 24 * 4]
    assert crops.pixels.shape == (24 * 16, 32, 32, 3)
    assert np.bincount(crops.drives).tolist() == [16] * 24


def test_objects_are_in_their_crops_and_not_in_the_background(crops: Crops) -> None:
    red = (np.abs(crops.pixels.astype(int) - RED).max(axis=3) < 40).mean(axis=(1, 2))

    assert (red[crops.labels == 1] > 0.03).all()
    assert red[crops.labels == BACKGROUND].max() < 0.12


def test_offsets_lead_from_the_window_to_the_annotation(crops: Crops) -> None:
    [place] = np.flatnonzero(crops.labels == 1)[:1]
    rows, columns = np.nonzero(np.abs(crops.pixels[place].astype(int) - RED).max(axis=2) < 60)
    dx, dy, wider, higher = crops.offsets[place]

    assert columns.mean() / 31 - 0.5 == pytest.approx(dx, abs=0.06)
    assert rows.mean() / 31 - 0.5 == pytest.approx(dy, abs=0.06)
    assert np.ptp(columns) / 31 == pytest.approx(np.exp(wider), abs=0.1)
    assert np.ptp(rows) / 31 == pytest.approx(np.exp(higher), abs=0.1)


def test_the_same_seed_cuts_the_same_crops(crops: Crops) -> None:
    again = sample((street(number) for number in range(24)), PLAN)

    assert np.array_equal(again.pixels, crops.pixels)
    assert np.array_equal(again.offsets, crops.offsets)


def test_images_without_objects_give_background_once_a_size_is_known() -> None:
    empty = AnnotatedImage(street(0).image, np.empty((0, 4)), np.empty(0, np.int64), 1)

    assert sample([street(0), empty], PLAN).drives.tolist().count(1) == 8


def test_training_tells_the_labels_apart_and_repeats_itself(crops: Crops) -> None:
    plan = Plan(categories=2, epochs=4, batch=32, easy_epochs=2)
    losses: list[float] = []
    test = sample((street(number) for number in range(100, 112)), PLAN)
    torch.manual_seed(0)

    model = train(crops, plan, lambda _, loss: losses.append(loss))
    again = train(crops, plan)

    assert losses == sorted(losses, reverse=True)
    assert precision_at(5, vectors_of(model, test.pixels), test) > 0.95
    assert torch.equal(model.features[0][0].weight, again.features[0][0].weight)  # type: ignore[index]


def test_precision_looks_at_other_drives_only() -> None:
    labels, drives = np.array([1, 1, 2, 1, 2]), np.array([0, 0, 0, 1, 1])
    vectors = np.array([[1, 0], [1, 0], [1, 0.1], [0, 1], [1, 0.2]], np.float32)
    crops = Crops(np.empty((5, 1, 1, 3), np.uint8), labels, np.empty((5, 4), np.float32), drives)

    # Nearest on the other drive: 4 (label 2) for 0, 1 and 2; 2 for 3; 2 for 4.
    assert precision_at(1, vectors, crops) == pytest.approx(2 / 5)


def test_the_small_network_fits_its_limits() -> None:
    parameters = sum(tensor.numel() for tensor in GazeloopSmall().parameters())

    assert parameters * 4 < 5_000_000
