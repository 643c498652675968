"""The survey with a detector that overlooks objects for a cause: dark, far or occluded.

The demo's detector misses far objects at random. Here three of four sightings with a cause are
missed. Half of these leave no detection, and half one of low score, from .05 to .35.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum

import numpy as np
from PIL import Image

from benchmarks.retrieval_data import Picture
from services.contracts.events import Annotation, Detection
from services.domain.arrays import BoolArray, FloatArray, IntArray
from services.domain.detection.boxes import iou_matrix
from services.survey.world import ObjectKind

_SEED = 0
_DARK_SHARE = 0.12
"""Share of all sightings, the darkest ones, that are dark."""
_FAR_PX, _FAR_FLAT_PX = 11.0, 5.0
"""Heights below which upright objects and crossings are far."""
_HIDDEN = 0.15
"""Share of a box behind a nearer one from which it is occluded."""
_MISSED, _GONE = 0.75, 0.5
_FAINT = (0.05, 0.35)
_ITS_OWN = 0.3
"""IoU from which a detection of its category is taken for the object's."""


class Cause(IntEnum):
    """Why an object is overlooked."""

    NONE = 0
    DARK = 1
    FAR = 2
    OCCLUDED = 3


def with_systematic_misses(
    pictures: Sequence[Picture],
) -> tuple[list[Picture], list[list[Cause]]]:
    """The pictures with other predictions, and the cause of each annotation."""
    rng = np.random.default_rng(_SEED)
    lights = [_lights(picture) for picture in pictures]
    dark = float(np.quantile(np.concatenate(lights), _DARK_SHARE))
    causes = [_causes(picture, of < dark) for picture, of in zip(pictures, lights, strict=True)]
    return [
        _overlooked(picture, of, rng) for picture, of in zip(pictures, causes, strict=True)
    ], causes


def _lights(picture: Picture) -> FloatArray:
    """(A,), the mean grey value of each annotation's box."""
    grey = np.asarray(Image.open(picture.path).convert("L"), np.float64)
    return np.array([_light(grey, item) for item in picture.ground_truth.annotations])


def _light(grey: FloatArray, item: Annotation) -> float:
    x, y, width, height = (int(value) for value in item.bbox)
    rows, columns = slice(max(y, 0), y + max(height, 1)), slice(max(x, 0), x + max(width, 1))
    return float(grey[rows, columns].mean())


def _causes(picture: Picture, dark: BoolArray) -> list[Cause]:
    annotations = picture.ground_truth.annotations
    boxes = np.array([item.bbox for item in annotations], np.float64).reshape(-1, 4)
    hidden = iou_matrix(boxes, boxes, np.ones(len(annotations), np.bool_))
    bottom = boxes[:, 1] + boxes[:, 3]
    hidden *= bottom[None, :] > bottom[:, None]  # what ends lower in the picture is nearer
    causes = []
    for place, item in enumerate(annotations):
        flat = item.category == ObjectKind.CROSSING.value
        if hidden[place].max() > _HIDDEN:
            causes.append(Cause.OCCLUDED)
        elif dark[place]:
            causes.append(Cause.DARK)
        elif item.bbox[3] < (_FAR_FLAT_PX if flat else _FAR_PX):
            causes.append(Cause.FAR)
        else:
            causes.append(Cause.NONE)
    return causes


def _overlooked(picture: Picture, causes: Sequence[Cause], rng: np.random.Generator) -> Picture:
    found: dict[int, Detection] = dict(enumerate(picture.predictions.detections))
    for item, cause in zip(picture.ground_truth.annotations, causes, strict=True):
        if cause is Cause.NONE or rng.random() >= _MISSED:
            continue
        gone = rng.random() < _GONE
        for place in _own(item, found).tolist():
            if gone:
                del found[place]
            else:
                score = round(float(rng.uniform(*_FAINT)), 4)
                found[place] = found[place].model_copy(update={"score": score})
    detections = {"detections": tuple(found.values())}
    return replace(picture, predictions=picture.predictions.model_copy(update=detections))


def _own(item: Annotation, found: dict[int, Detection]) -> IntArray:
    """The places of the detections that are the object's."""
    places = np.array([p for p, d in found.items() if d.category == item.category], np.int64)
    boxes = np.array([found[place].bbox for place in places.tolist()], np.float64).reshape(-1, 4)
    overlap = iou_matrix(boxes, np.array([item.bbox], np.float64), np.zeros(1, np.bool_))
    return places[overlap[:, 0] >= _ITS_OWN]
