"""Frames of the closed loop: read from any COCO data set, divided by a seed, and scored."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from services.contracts.events import Detection
from services.contracts.identity import Category, DetectorId
from services.domain.arrays import IntArray
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import Subset
from services.evaluator.files.versions import FileVersion
from services.formats.items import Detector, FrameItem, Located
from services.formats.readers.coco import read_coco

Detections = Sequence[Sequence[Detection]]
"""Of every frame."""


@dataclass(frozen=True)
class LoopSet:
    """A data set that is annotated in full.

    Attributes
    ----------
    frames : those with an image and a complete ground truth
    categories : of any annotated object, sorted
    """

    name: str
    frames: Sequence[FrameItem]
    categories: Sequence[Category]

    @classmethod
    def read(cls, ground_truth: Path, images: Path, name: str) -> "LoopSet":
        """Read a COCO data set; frames that were refused in part are left out.

        Raises
        ------
        InvalidRecord
            A file is unreadable.
        """
        items = read_coco(ground_truth, images=images, dataset=name).items
        frames = [
            item
            for item in items
            if isinstance(item, FrameItem) and item.annotations is not None and item.complete
        ]
        frames.sort(key=lambda frame: frame.frame_id)
        named = {part.value.category for frame in frames for part in frame.annotations or ()}
        return cls(name, frames, sorted(named))

    def path(self, frame: int) -> Path:
        """The image of a frame."""
        path = self.frames[frame].image
        assert path is not None
        return path

    @cached_property
    def objects(self) -> IntArray:
        """(F, C), annotated objects of each frame by category."""
        counts = np.zeros((len(self.frames), len(self.categories)), np.int64)
        for place, frame in enumerate(self.frames):
            for part in frame.annotations or ():
                counts[place, self.categories.index(part.value.category)] += 1
        return counts

    def rarest(self) -> Category:
        """The category with the fewest objects."""
        return self.categories[int(self.objects.sum(axis=0).argmin())]


@dataclass(frozen=True)
class Division:
    """Where a seed puts the frames; all are (n,) numbers of frames, in a random order.

    Attributes
    ----------
    test : never seen by any strategy
    reference : annotated from the start; needles are found there, and nothing is trained on it
    initial : annotated from the start; the first detector is trained on it
    pool : not annotated; frames are chosen from it
    """

    test: IntArray
    reference: IntArray
    initial: IntArray
    pool: IntArray

    @classmethod
    def of(cls, frames: int, seed: int, sizes: tuple[int, int, int]) -> "Division":
        """Divide at random.

        Parameters
        ----------
        sizes : of test, reference and initial

        Raises
        ------
        ValueError
            No frame is left for the pool.
        """
        ends = np.cumsum(sizes)
        if ends[-1] >= frames:
            raise ValueError(f"{frames} frames are too few for {sizes} and a pool")
        order = np.random.default_rng(seed).permutation(frames)
        return cls(*np.split(order, ends))


@dataclass(frozen=True)
class TestFigures:
    """How good a detector is on test frames: AP over IoU .5 to .95, by category and in the mean."""

    mean_ap: float
    by_category: Mapping[Category, float]


def figures(data: LoopSet, frames: IntArray, detections: Detections) -> TestFigures:
    """COCO's AP of detections on some frames.

    Parameters
    ----------
    detections : of these frames, in their order
    """
    detector = Detector("loop", "1")
    version = FileVersion("loop@1", "bbox", accept_partial=True)
    for frame, found in zip(frames.tolist(), detections, strict=True):
        version.add(with_detections(data.frames[frame], found, detector))
    state = MatchState(OperatingScores(0.5))
    state.add(version.on(version.frames).matches)
    parts = state.of(DetectorId("loop@1"), Subset.ALL)
    known = {name: part.average_precision for name, part in parts.items()}
    by_category = {name: ap for name, ap in known.items() if ap is not None}
    mean = math.fsum(by_category.values()) / len(by_category)
    return TestFigures(mean, by_category)


def with_detections(item: FrameItem, found: Sequence[Detection], detector: Detector) -> FrameItem:
    """The frame as an item of a detector's results."""
    located = tuple(Located(value, item.location) for value in found)
    return replace(item, detections=located, detector=detector)
