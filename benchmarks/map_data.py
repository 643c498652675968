# ruff: noqa: PLR2004  # a script's part: its names say what they do
"""What the mAP benchmarks evaluate, and how Gazeloop does it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from services.contracts.identity import Category, DetectorId, FrameId, VehicleId
from services.domain.detection.boxes import Annotations, Detections
from services.domain.detection.grouping import grouped
from services.domain.detection.matching import match_groups
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.average_precision import mean_numbers
from services.domain.metrics.kept_figures import EVER
from services.domain.metrics.match_columns import Cells, NamedColumns, Names
from services.domain.metrics.match_state import MatchState
from services.domain.metrics.subsets import REST, Subset

Stats = np.ndarray[Any, np.dtype[np.float64]]
CATEGORIES = 80
DETECTOR = DetectorId("d@1")
CATEGORY_NAMES = [Category(f"{k:02d}") for k in range(CATEGORIES)]


@dataclass(frozen=True)
class Data:
    """Images `[first, last)` with what is on them, sorted by image."""

    first: int
    last: int
    truth_image: Any
    truth_category: Any
    truths: Any
    crowd: Any
    image: Any
    category: Any
    boxes: Any
    scores: Any

    def part(self, first: int, last: int) -> "Data":
        truth_rows = slice(*np.searchsorted(self.truth_image, [first, last]))
        found = slice(*np.searchsorted(self.image, [first, last]))
        return Data(
            first,
            last,
            *(
                a[truth_rows]
                for a in (self.truth_image, self.truth_category, self.truths, self.crowd)
            ),
            *(a[found] for a in (self.image, self.category, self.boxes, self.scores)),
        )


def synthetic(images: int, truths: int, detections: int, seed: int = 0) -> Data:
    """Objects of skewed categories; detections are on them, beside them, or anywhere."""
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, CATEGORIES + 1) ** 0.8
    weight /= weight.sum()
    truth_image = np.sort(rng.integers(0, images, truths))
    truth_category = rng.choice(CATEGORIES, truths, p=weight)
    sides = np.exp(rng.normal(4.0, 0.9, (truths, 2))).clip(4, 400)
    there = np.hstack([rng.random((truths, 2)) * (640 - sides), sides])
    on = rng.integers(0, truths, detections)
    boxes = there[on] + np.tile(sides[on], 2) * rng.normal(0, 0.13, (detections, 4))
    boxes[:, 2:] = boxes[:, 2:].clip(2)
    score = rng.beta(1, 3, detections)
    away = rng.random(detections) < 0.5
    boxes[away, :2] = rng.random((away.sum(), 2)) * 500
    score[~away] = rng.beta(2, 2, (~away).sum())
    category = np.where(
        rng.random(detections) < 0.9, truth_category[on], rng.choice(CATEGORIES, detections)
    )
    order = np.argsort(truth_image[on], kind="stable")
    return Data(
        0,
        images,
        truth_image,
        truth_category,
        there.round(2),
        rng.random(truths) < 0.01,
        truth_image[on][order],
        category[order],
        boxes[order].round(2),
        score[order].round(3),
    )


class Gazeloop:
    """Match once, add, compute figures."""

    def __init__(self) -> None:
        self.state = MatchState(OperatingScores(0.5))

    def add(self, data: Data) -> None:
        self.state.add_named(self.columns(data))

    @staticmethod
    def grouped(data: Data) -> tuple[Any, Detections, Annotations]:
        """What is on the images, by category and image."""
        images = data.last - data.first
        pairs = CATEGORIES * images
        truth_key = data.truth_category * images + data.truth_image - data.first
        key = data.category * images + data.image - data.first
        truth_order, there_starts = grouped(truth_key, pairs)
        found, found_starts = grouped(key, pairs)
        keys = np.flatnonzero(np.diff(there_starts) + np.diff(found_starts))
        ends = np.append(keys, pairs)  # what is between has nothing in it
        boxes = data.truths[truth_order]
        annotations = Annotations(
            there_starts[ends],
            boxes,
            boxes[:, 2] * boxes[:, 3],
            data.crowd[truth_order],
            np.zeros(truth_order.size, np.bool_),
        )
        detections = Detections(found_starts[ends], data.boxes[found], data.scores[found])
        return keys, detections, annotations

    @classmethod
    def columns(cls, data: Data) -> NamedColumns:
        """The matches of the images."""
        keys, detections, annotations = cls.grouped(data)
        matches = match_groups(detections, annotations)
        images = data.last - data.first
        cells = Cells(
            part=np.full(keys.size, REST),
            captured=np.zeros(keys.size, np.int64),
            revision=np.ones(keys.size, np.int64),
            truths=matches.ground_truths,
            starts=matches.starts,
            scores=detections.scores[matches.source],
            overlaps=matches.overlaps,
            matched=matches.matched,
            ignored=matches.ignored,
            errors=np.zeros(matches.source.size, np.int64),
        )
        one = np.zeros(keys.size, np.int64)
        frames = [FrameId(f"{i:08d}") for i in range(data.first, data.last)]
        return NamedColumns(
            Names([DETECTOR], one),
            Names(CATEGORY_NAMES, keys // images),
            Names(frames, keys % images),
            Names([VehicleId("v")], one),
            cells,
        )

    def numbers(self) -> Stats:
        parts = self.state.of(DETECTOR, Subset.ALL, EVER).values()
        return mean_numbers([part.numbers for part in parts])
