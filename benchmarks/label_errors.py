"""How many planted label errors are found: `make bench-label-errors`.

Plants errors of one kind in 10% of the annotated objects of a data set, ranks all places where a
label may be wrong, and prints the share of errors among the first 10% that one looks at: by
`services.domain.mining.suspected_labels`, by ObjectLab's score (cleanlab) with its default
thresholds and with the best of several, and at random.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from benchmarks.retrieval_data import Picture, street_photos, survey_pictures
from services.contracts.events import Annotation
from services.contracts.identity import Box, Category, FrameId
from services.domain.detection.boxes import iou_matrix
from services.domain.detection.category_map import SAME_NAMES
from services.domain.mining.label_error import LabelError
from services.domain.mining.suspected_labels import (
    LabelledFrame,
    SuspectedLabel,
    suspected_labels,
)

_SHARE: Final = 0.1
"""Of objects that get an error, and of objects that one looks at."""
_THRESHOLDS: Final = (None, 0.1, 0.3, 0.5, 0.7)
"""From which score ObjectLab takes a detection as sure; None: its defaults, .95 and .5."""
_OBJECTLAB: Final = Path(__file__).parents[1] / ".bench" / "bin" / "python"
_SAME: Final = 0.5
_DATA: Final = {"survey": survey_pictures, "street photos": street_photos}

Place = tuple[FrameId, Box]
Ranked = Sequence[Place]
"""Boxes to look at, the most suspicious first."""


@dataclass(frozen=True)
class Planted:
    """A data set with errors of one kind, and where they are."""

    pictures: Sequence[Picture]
    errors: Sequence[Place]
    objects: int
    """Annotated objects before some labels went missing."""

    def found(self, ranked: Ranked) -> float:
        """The share of errors among the first places."""
        wanted: dict[FrameId, list[Box]] = {}
        for frame_id, box in self.errors:
            wanted.setdefault(frame_id, []).append(box)
        found: set[tuple[FrameId, int]] = set()
        for frame_id, box in ranked[: round(_SHARE * self.objects)]:
            boxes = np.array(wanted.get(frame_id, ()), np.float64).reshape(-1, 4)
            overlap = iou_matrix(np.array([box]), boxes, np.zeros(len(boxes), np.bool_))[0]
            if overlap.size and overlap.max() >= _SAME:
                found.add((frame_id, int(overlap.argmax())))
        return len(found) / len(self.errors)


def planted(pictures: Sequence[Picture], kind: LabelError, rng: np.random.Generator) -> Planted:
    """A tenth of the annotations with an error."""
    objects = sum(len(picture.ground_truth.annotations) for picture in pictures)
    wrong = np.zeros(objects, np.bool_)
    wrong[rng.choice(objects, round(_SHARE * objects), replace=False)] = True
    names = sorted({a.category for p in pictures for a in p.ground_truth.annotations})
    changed, errors, first = [], [], 0
    for picture in pictures:
        kept = []
        for annotation in picture.ground_truth.annotations:
            other: Annotation | None = annotation
            if wrong[first]:
                other = _wrong(annotation, kind, names, picture, rng)
                errors.append((picture.ground_truth.frame_id, (other or annotation).bbox))
            kept += [other] if other is not None else []
            first += 1
        truth = picture.ground_truth.model_copy(update={"annotations": tuple(kept)})
        changed.append(replace(picture, ground_truth=truth))
    return Planted(changed, errors, objects)


def _wrong(
    annotation: Annotation,
    kind: LabelError,
    names: Sequence[Category],
    picture: Picture,
    rng: np.random.Generator,
) -> Annotation | None:
    match kind:
        case LabelError.MISSING:
            return None
        case LabelError.CATEGORY:
            others = [name for name in names if name != annotation.category]
            return annotation.model_copy(update={"category": others[rng.integers(len(others))]})
        case LabelError.PLACEMENT:
            box = _misplaced(annotation.bbox, (picture.width, picture.height), rng)
            return annotation.model_copy(update={"bbox": box})


def _misplaced(box: Box, size: tuple[int, int], rng: np.random.Generator) -> Box:
    """A box moved and resized until it overlaps with the given one by .3 to .7."""
    wanted = rng.uniform(0.3, 0.7)
    truth = np.array([box], np.float64)
    best, nearest = box, 1.0
    for _ in range(200):
        moved = truth[0].copy()
        moved[:2] += rng.normal(0, 0.4, 2) * moved[2:]
        moved[2:] *= np.exp(rng.normal(0, 0.35, 2))
        moved[:2] = np.clip(moved[:2], 0, np.array(size) - 2)
        moved[2:] = np.minimum(moved[2:], size - moved[:2])
        away = abs(float(iou_matrix(moved[None], truth, np.zeros(1, np.bool_))[0, 0]) - wanted)
        if away < nearest:
            x, y, width, height = moved.tolist()
            best, nearest = (x, y, width, height), away
    return best


def _by_gazeloop(pictures: Sequence[Picture], kind: LabelError) -> Ranked:
    frames = [
        LabelledFrame.of(
            SAME_NAMES.named(picture.predictions),
            picture.ground_truth,
            picture.unit,
            (picture.width, picture.height),
        )
        for picture in pictures
    ]
    found: list[SuspectedLabel] = [s for s in suspected_labels(frames) if s.error is kind]
    return [(suspect.frame_id, suspect.bbox) for suspect in found]


def _by_objectlab(
    pictures: Sequence[Picture], kind: LabelError, order: np.random.Generator
) -> list[Ranked]:
    """One ranking per threshold; ties are in random order."""
    names = sorted(
        {d.category for p in pictures for d in p.predictions.detections}
        | {a.category for p in pictures for a in p.ground_truth.annotations}
    )
    frames = [
        {
            "boxes": [d.bbox for d in picture.predictions.detections],
            "scores": [d.score for d in picture.predictions.detections],
            "categories": [names.index(d.category) for d in picture.predictions.detections],
            "annotated": [a.bbox for a in picture.ground_truth.annotations],
            "annotated_as": [names.index(a.category) for a in picture.ground_truth.annotations],
        }
        for picture in pictures
    ]
    facts = {"frames": frames, "categories": len(names), "thresholds": _THRESHOLDS}
    done = subprocess.run(  # noqa: S603  # our own module
        [_OBJECTLAB, "-m", "benchmarks.objectlab"],
        input=orjson.dumps(facts),
        stdout=subprocess.PIPE,
        check=True,
    )
    places = _places(pictures, kind)
    scores = [np.concatenate([np.array(of) for of in by[kind]]) for by in orjson.loads(done.stdout)]
    return [[places[k] for k in np.lexsort((order.random(of.size), -of))] for of in scores]


def _places(pictures: Sequence[Picture], kind: LabelError) -> list[Place]:
    """What may have an error: detections where labels may be missing, else annotations."""
    of: Callable[[Picture], Sequence[Box]] = (
        (lambda p: [d.bbox for d in p.predictions.detections])
        if kind is LabelError.MISSING
        else (lambda p: [a.bbox for a in p.ground_truth.annotations])
    )
    return [(p.ground_truth.frame_id, box) for p in pictures for box in of(p)]


def _rows(name: str, seeds: int) -> None:
    pictures = _DATA[name]()
    for kind in LabelError:
        shares: dict[str, list[float]] = {}
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            changed = planted(pictures, kind, rng)
            places = _places(changed.pictures, kind)
            ways: dict[str, Ranked] = {
                "gazeloop": _by_gazeloop(changed.pictures, kind),
                "random": [places[k] for k in rng.permutation(len(places))],
            }
            by_threshold = _by_objectlab(changed.pictures, kind, rng)
            for threshold, ranked in zip(_THRESHOLDS, by_threshold, strict=True):
                ways[f"objectlab {threshold or 'default'}"] = ranked
            for way, ranked in ways.items():
                shares.setdefault(way, []).append(changed.found(ranked))
        found = {way: float(np.mean(of)) for way, of in shares.items()}
        best = max(share for way, share in found.items() if way.startswith("objectlab"))
        sys.stdout.write(
            f"{name:<14} {kind.value:<10} gazeloop {found['gazeloop']:.1%}"
            f"  ObjectLab {found['objectlab default']:.1%} (best threshold {best:.1%})"
            f"  random {found['random']:.1%}\n"
        )
        sys.stdout.flush()


def main() -> None:
    """Print the shares of every data set and kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", choices=list(_DATA), nargs="*", default=list(_DATA))
    options = parser.parse_args()
    for name in options.data:
        _rows(name, options.seeds)


if __name__ == "__main__":
    main()
