"""A simulated detector with random errors and systematic failures.

Systematic failures: it takes round red billboards for stop signs, shop lanterns for traffic
lights, round price tags for speed limits and hatching for crossings; its boxes of distant signs
are too large; and it detects close crossings twice.
"""

# ruff: noqa: PLR2004  # a scene is made of figures; naming each would hide the picture

from dataclasses import dataclass

import numpy as np

from services.contracts.identity import Box
from services.survey.scene import HEIGHT, WIDTH, Rendered, Sighting
from services.survey.world import ANNOTATED, Drive, ObjectKind, Weather

NAME, VERSION = "survey-detector", "1.0"

MISTAKEN = {
    ObjectKind.BILLBOARD: (ObjectKind.STOP_SIGN, 0.88, 0.8),
    ObjectKind.SHOP_LAMP: (ObjectKind.TRAFFIC_LIGHT, 0.8, 0.72),
    ObjectKind.PRICE_TAG: (ObjectKind.SPEED_LIMIT, 0.74, 0.68),
    ObjectKind.HATCHING: (ObjectKind.CROSSING, 0.66, 0.62),
}
"""For each distractor: the category it is confused with, how often, and the mean score."""

_CONFUSED = {
    ObjectKind.STOP_SIGN: ObjectKind.YIELD,
    ObjectKind.YIELD: ObjectKind.STOP_SIGN,
    ObjectKind.SPEED_LIMIT: ObjectKind.STOP_SIGN,
}
_FAR_PX = 11.5
"""Signs below this height get boxes that include their pole and surroundings."""
_CLARITY = {Weather.RAIN: 0.84, Weather.FOG: 0.76, Weather.DUSK: 0.88}
_SIGNS = (ObjectKind.STOP_SIGN, ObjectKind.SPEED_LIMIT, ObjectKind.YIELD)


@dataclass(frozen=True)
class Detected:
    """One box of the detector."""

    kind: ObjectKind
    score: float
    bbox: Box


def _score(rng: np.random.Generator, mean: float, sharpness: float = 11.0) -> float:
    mean = min(max(mean, 0.05), 0.97)
    return round(float(rng.beta(mean * sharpness, (1 - mean) * sharpness)), 4)


def _fitted(x: float, y: float, width: float, height: float) -> Box:
    left, top = min(max(x, 0.0), WIDTH - 4.0), min(max(y, 0.0), HEIGHT - 4.0)
    right, bottom = min(x + width, float(WIDTH)), min(y + height, float(HEIGHT))
    wide, high = max(right - left, 3.0), max(bottom - top, 3.0)
    return round(left, 2), round(top, 2), round(wide, 2), round(high, 2)


def _shifted(rng: np.random.Generator, bbox: Box, spread: float) -> Box:
    x, y, width, height = bbox
    dx, dy, dw, dh = rng.normal(0, spread, 4).tolist()
    return _fitted(
        x + dx * width, y + dy * height, width * float(np.exp(dw)), height * float(np.exp(dh))
    )


def _swollen(rng: np.random.Generator, bbox: Box) -> Box:
    x, y, width, height = bbox
    # Overlap with the true box is at most 1 / 1.5 / 1.5 = .44.
    wide, high = rng.uniform(1.5, 1.8, 2).tolist()
    return _fitted(x - width * (wide - 1) / 2, y - height * 0.15, width * wide, height * high)


def _true_object(rng: np.random.Generator, sighting: Sighting, clarity: float) -> list[Detected]:
    kind, bbox = sighting.kind, sighting.bbox
    size = bbox[3] if kind is not ObjectKind.CROSSING else bbox[2] / 12
    sureness = clarity * (0.52 + 0.4 * (1 - float(np.exp(-(size - 6) / 14))))
    if rng.random() > sureness + 0.12:
        return []
    score = _score(rng, sureness)
    if kind in _CONFUSED and rng.random() < 0.04:
        return [Detected(_CONFUSED[kind], round(score * 0.85, 4), _shifted(rng, bbox, 0.04))]
    if kind in _SIGNS and bbox[3] < _FAR_PX and rng.random() < 0.72:
        return [Detected(kind, _score(rng, 0.62 * clarity), _swollen(rng, bbox))]
    found = [Detected(kind, score, _shifted(rng, bbox, 0.035))]
    twice = kind is ObjectKind.CROSSING and bbox[3] > 26 and rng.random() < 0.6
    if twice or rng.random() < 0.02:
        again = _shifted(rng, bbox, 0.11)
        found.append(Detected(kind, round(score * float(rng.uniform(0.72, 0.98)), 4), again))
    return found


def _distractor(rng: np.random.Generator, sighting: Sighting, clarity: float) -> list[Detected]:
    kind, often, mean = MISTAKEN[sighting.kind]
    if sighting.bbox[3] < 11 and sighting.kind is not ObjectKind.HATCHING:
        often, mean = often * 0.5, mean * 0.7
    if rng.random() > often * clarity:
        return []
    return [Detected(kind, _score(rng, mean), _shifted(rng, sighting.bbox, 0.05))]


def _from_nowhere(rng: np.random.Generator) -> list[Detected]:
    found = []
    for often, mean, sharpness in ((0.1, 0.5, 7.0), (1.3, 0.12, 9.0)):
        for _ in range(int(rng.poisson(often))):
            kind = ANNOTATED[int(rng.integers(len(ANNOTATED)))]
            width = float(rng.uniform(9, 46))
            height = width * (0.35 if kind is ObjectKind.CROSSING else float(rng.uniform(0.9, 1.6)))
            x, y = rng.uniform(0, WIDTH - width), rng.uniform(60, 240)
            bbox = _fitted(float(x), float(y), width, height)
            found.append(Detected(kind, _score(rng, mean, sharpness), bbox))
    return found


def detect(drive: Drive, index: int, rendered: Rendered) -> list[Detected]:
    """The detections on this frame, highest score first."""
    rng = np.random.default_rng([drive.seed, index, 2])
    clarity = _CLARITY.get(drive.weather, 1.0)
    found: list[Detected] = []
    for sighting in rendered.sightings:
        if sighting.kind in MISTAKEN:
            found += _distractor(rng, sighting, clarity)
        else:
            found += _true_object(rng, sighting, clarity)
    found += _from_nowhere(rng)
    return sorted(found, key=lambda detected: -detected.score)
