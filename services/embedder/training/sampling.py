"""Samples training crops from annotated images: objects in good and bad windows, and background."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from services.embedder.embedder import Boxes
from services.embedder.models.crops import Pixels, cut
from services.embedder.training.small_training import BACKGROUND, Crops

_MAX_SHARED = 0.1
"""Limit of the share of an annotation that a background window may contain."""
_TRIES = 20
_SPREADS = (0.05, 0.22)
"""Standard deviations of a window from its object, in shares of its sides: good and bad boxes."""
_WIDEST = 2.2
"""Largest factor by which a window exceeds the box, because regions are encoded with context."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with the boxes of its objects, and their labels from 1."""

    image: Image
    boxes: Boxes
    labels: NDArray[np.int64]
    drive: int


@dataclass(frozen=True)
class SamplingPlan:
    """The number and size of crops."""

    side: int
    per_object: int = 4
    background_per_image: int = 32
    seed: int = 0


@dataclass(frozen=True)
class _Sample:
    pixels: Pixels
    label: int
    offset: tuple[float, float, float, float]


def sample(images: Iterable[AnnotatedImage], plan: SamplingPlan) -> Crops:
    """Sample crops from all images, in one pass and with one image in memory at a time."""
    rng = np.random.default_rng(plan.seed)
    samples: list[_Sample] = []
    drives: list[int] = []
    seen: list[list[float]] = []
    for annotated in images:
        seen += annotated.boxes.tolist()
        samples += _objects(annotated, plan, rng)
        if seen:
            samples += _backgrounds(annotated, seen, plan, rng)
        drives += [annotated.drive] * (len(samples) - len(drives))
    return Crops(
        np.stack([item.pixels for item in samples]),
        np.array([item.label for item in samples], np.int64),
        np.array([item.offset for item in samples], np.float32),
        np.array(drives, np.int64),
    )


def _objects(
    annotated: AnnotatedImage, plan: SamplingPlan, rng: np.random.Generator
) -> Iterator[_Sample]:
    for box, label in zip(annotated.boxes.tolist(), annotated.labels.tolist(), strict=True):
        for turn in range(plan.per_object):
            window = _jittered(box, _SPREADS[turn % len(_SPREADS)], rng)
            pixels = cut(annotated.image, window, 1.0, (plan.side, plan.side))
            yield _Sample(pixels, label, _offset(window, box))


def _jittered(box: Sequence[float], spread: float, rng: np.random.Generator) -> list[float]:
    """A window around the box, randomly shifted and stretched, and enlarged by a random factor."""
    x, y, width, height = box
    dx, dy, wider, higher = rng.normal(0, spread, 4).tolist()
    context = _WIDEST ** float(rng.uniform(0, 1))
    across, along = width * np.exp(wider) * context, height * np.exp(higher) * context
    middle_x, middle_y = x + width / 2 + dx * width, y + height / 2 + dy * height
    return [middle_x - across / 2, middle_y - along / 2, across, along]


def _offset(window: Sequence[float], box: Sequence[float]) -> tuple[float, float, float, float]:
    dx = (box[0] + box[2] / 2 - window[0] - window[2] / 2) / window[2]
    dy = (box[1] + box[3] / 2 - window[1] - window[3] / 2) / window[3]
    return dx, dy, float(np.log(box[2] / window[2])), float(np.log(box[3] / window[3]))


def _backgrounds(
    annotated: AnnotatedImage,
    seen: Sequence[Sequence[float]],
    plan: SamplingPlan,
    rng: np.random.Generator,
) -> Iterator[_Sample]:
    for turn in range(plan.background_per_image):
        for _ in range(_TRIES):
            window = _elsewhere(seen, annotated.image.size, rng, near=turn % 2 == 0)
            if _is_background(window, annotated.boxes):
                pixels = cut(annotated.image, window, 1.0, (plan.side, plan.side))
                yield _Sample(pixels, BACKGROUND, (0.0, 0.0, 0.0, 0.0))
                break


def _elsewhere(
    seen: Sequence[Sequence[float]],
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    near: bool,
) -> list[float]:
    """A window of a seen object's size: near that object's place, or anywhere."""
    x, y, width, height = seen[int(rng.integers(len(seen)))]
    context = _WIDEST ** float(rng.uniform(0, 1))
    wide, high = (rng.lognormal(0, 0.2, 2) * (width * context, height * context)).tolist()
    if near:
        left = x + float(rng.normal(0, 2)) * width
        top = y + float(rng.normal(0, 0.7)) * height
    else:
        left, top = rng.uniform(0, size).tolist()
    left = min(max(left, 0.0), max(size[0] - wide, 0.0))
    top = min(max(top, 0.0), max(size[1] - high, 0.0))
    return [left, top, wide, high]


def _is_background(window: Sequence[float], boxes: Boxes) -> bool:
    if not len(boxes):
        return True
    x, y, width, height = window
    across = np.minimum(boxes[:, 0] + boxes[:, 2], x + width) - np.maximum(boxes[:, 0], x)
    along = np.minimum(boxes[:, 1] + boxes[:, 3], y + height) - np.maximum(boxes[:, 1], y)
    shared = across.clip(min=0) * along.clip(min=0)
    return bool((shared <= _MAX_SHARED * boxes[:, 2] * boxes[:, 3]).all())
