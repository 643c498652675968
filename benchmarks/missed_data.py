"""Data sets for misses: each frame's detections, its annotated objects, and which were missed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

import numpy as np
from PIL import Image

from benchmarks.detected_frames import DetectedFrames
from benchmarks.missed_sizes import SIZES
from benchmarks.missed_survey import with_systematic_misses
from benchmarks.retrieval_data import (
    CACHE,
    PHOTOS_EMBEDDER,
    SURVEY_EMBEDDER,
    Picture,
    street_photos,
    survey_pictures,
)
from benchmarks.retrieval_trained import traffic_light_photos
from services.contracts.identity import Category
from services.domain.arrays import BoolArray, FloatArray, IntArray, Vectors
from services.domain.detection.frame_matching import frame_match
from services.domain.detection.missed import missed_annotations
from services.embedder.models.torch_embedder import TorchEmbedder
from services.runtime.settings import Settings

OPERATING = Settings().operating_score


class Alike(StrEnum):
    """In what two misses of one category are alike."""

    SIZE = "size"
    CAUSE = "planted cause"


@dataclass(frozen=True)
class MissedSet:
    """M missed objects on F frames, in C categories.

    Attributes
    ----------
    units : (F,), what a split keeps together
    frames : the detections
    objects : (F,), annotated objects that count
    missed_on, category, size : (M,) of each missed object; size 0 small, 1 medium, 2 large
    alike : by what misses can be alike, (M,) numbers that are equal for those that are
    vectors : (F, D) float32, unit length, of the frames
    """

    name: str
    units: IntArray
    frames: DetectedFrames
    objects: IntArray
    missed_on: IntArray
    category: IntArray
    size: IntArray
    alike: dict[Alike, IntArray]
    vectors: Vectors

    def missed(self, which: BoolArray | None = None) -> FloatArray:
        """(F,), the number of missed objects, or of these (M,)."""
        places = self.missed_on if which is None else self.missed_on[which]
        return np.bincount(places, minlength=len(self.units)).astype(np.float64)

    def missed_by_category(self) -> FloatArray:
        """(F, C), the number of missed objects."""
        return self._counted(self.category, self.frames.categories)

    def missed_by_size(self) -> FloatArray:
        """(F, C * 3), the number of missed objects of each category and size."""
        groups = self.frames.categories * SIZES
        return self._counted(self.category * SIZES + self.size, groups)

    def _counted(self, group: IntArray, groups: int) -> FloatArray:
        places = self.missed_on * groups + group
        counts = np.bincount(places, minlength=len(self.units) * groups)
        return counts.reshape(-1, groups).astype(np.float64)


def photos() -> MissedSet:
    """230 street photos with a published detector's results; no drives."""
    return _missed_set("trapedesveh", street_photos(), PHOTOS_EMBEDDER, None)


def traffic_lights() -> MissedSet:
    """599 photos of traffic lights with a small detector's results; no drives."""
    return _missed_set("traffic lights", traffic_light_photos(), PHOTOS_EMBEDDER, None)


def survey() -> MissedSet:
    """The synthetic survey, whose detector overlooks dark, far and occluded objects."""
    pictures, causes = with_systematic_misses(survey_pictures())
    return _missed_set("survey", pictures, SURVEY_EMBEDDER, causes)


def _missed_set(
    name: str, pictures: Sequence[Picture], embedder: str, causes: Sequence[Sequence[int]] | None
) -> MissedSet:
    categories = sorted(
        {item.category for p in pictures for item in p.predictions.detections}
        | {item.category for p in pictures for item in p.ground_truth.annotations}
    )
    missed: list[tuple[int, int, int, int]] = []
    objects = []
    for place, picture in enumerate(pictures):
        match = frame_match(picture.predictions, picture.ground_truth)
        objects.append(len(match.truths))
        ids = picture.ground_truth.annotation_ids()
        operating = [OPERATING] * len(match.categories)
        groups = missed_annotations(match, picture.ground_truth, operating)
        for category, group in zip(match.categories, groups, strict=True):
            for item in group:
                cause = causes[place][ids.index(item.region)] if causes else 0
                row = (place, categories.index(category), item.area_range - 1, cause)
                missed.append(row)
    missed_on, category, size, cause_of = np.array(missed).T
    alike = {Alike.SIZE: size} if causes is None else {Alike.SIZE: size, Alike.CAUSE: cause_of}
    units = sorted({picture.unit for picture in pictures})
    return MissedSet(
        name,
        np.array([units.index(picture.unit) for picture in pictures]),
        _detected(pictures, categories),
        np.array(objects),
        missed_on,
        category,
        size,
        alike,
        _frame_vectors(name, pictures, embedder),
    )


def _detected(pictures: Sequence[Picture], categories: Sequence[Category]) -> DetectedFrames:
    rows = [
        (place, categories.index(found.category), found.score, *found.bbox)
        for place, picture in enumerate(pictures)
        for found in picture.predictions.detections
    ]
    columns = np.array(rows, np.float64)
    return DetectedFrames(
        frame=columns[:, 0].astype(np.int64),
        category=columns[:, 1].astype(np.int64),
        scores=columns[:, 2],
        boxes=columns[:, 3:],
        areas=np.array([picture.width * picture.height for picture in pictures], np.float64),
        drives=[picture.context.drive for picture in pictures],
        seconds=np.array([picture.context.second for picture in pictures]),
        categories=len(categories),
    )


def _frame_vectors(name: str, pictures: Sequence[Picture], embedder: str) -> Vectors:
    """(F, D), embedded once per data set, then read from the build folder."""
    key = sha256(f"{name} {embedder} {len(pictures)}".encode()).hexdigest()[:16]
    cached = CACHE / f"{name}-frames-{key}.npy"
    if cached.exists():
        loaded: Vectors = np.load(cached)
        return loaded
    settings = Settings.model_validate({"embedder": embedder, "torch_threads": 1})
    model, nothing = TorchEmbedder.of(settings), np.empty((0, 4))
    vectors = np.stack(
        [
            model.embed([Image.open(picture.path).convert("RGB")], [nothing])[0].frame
            for picture in pictures
        ]
    )
    CACHE.mkdir(parents=True, exist_ok=True)
    np.save(cached, vectors)
    return vectors
