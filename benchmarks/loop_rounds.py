"""The protocol: train, predict, choose, annotate, train again from the same start, test.

Every round is one line of JSON. A run (a seed and a strategy) that was stopped is repeated from its
first round, since training is deterministic and Gazeloop's own state is not kept.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.loop_features import FeatureMaps
from benchmarks.loop_frames import Division, LoopSet, figures
from benchmarks.loop_product import ProductStrategy, product_strategy
from benchmarks.loop_strategies import BASELINES, Detect, Round, Strategy
from services.contracts.events import Annotation, Detection
from services.contracts.identity import Category
from services.domain.arrays import IntArray

TWICE: Final = "random-x2"
"""Random frames with twice the budget of all others, which the power check needs."""
PRODUCT: Final = ("worst-frames", "costliest-errors", "missed-objects", "label-efficiency")
STRATEGIES: Final = (*BASELINES, TWICE, *PRODUCT)

Train = Callable[[IntArray, int], Detect]
"""Trains a detector on frames, from the start that a seed gives."""


@dataclass(frozen=True)
class Sizes:
    """How many frames there are of what.

    Attributes
    ----------
    budget : frames per round
    """

    test: int
    reference: int
    initial: int
    budget: int
    rounds: int

    def described(self) -> str:
        """The numbers by name, for the cache and the reader."""
        return " ".join(f"{name} {number}" for name, number in asdict(self).items())


@dataclass(frozen=True)
class Outcome:
    """One finished round; the round 0 is the detector before any.

    Attributes
    ----------
    frames, boxes : annotated in all rounds so far, without the initial set and the reference
    filled : of the frames of this round, those that were drawn because shortlists named too few
    chosen : the numbers of the frames that are annotated so far
    """

    setup: str
    seed: int
    strategy: str
    round: int
    frames: int
    boxes: int
    filled: int
    mean_ap: float
    by_category: Mapping[Category, float]
    chosen: Sequence[int]


class OutcomeFile:
    """Finished rounds as JSON lines, of any number of processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self, setup: str) -> dict[tuple[int, str], list[Outcome]]:
        """The rounds of each seed and strategy, in order."""
        found: dict[tuple[int, str], dict[int, Outcome]] = {}
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for line in lines:
            outcome = Outcome(**json.loads(line))
            if outcome.setup == setup:
                found.setdefault((outcome.seed, outcome.strategy), {})[outcome.round] = outcome
        return {key: [parts[number] for number in sorted(parts)] for key, parts in found.items()}

    def append(self, outcome: Outcome) -> None:
        """Write one line."""
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")


@dataclass(frozen=True)
class Loop:
    """Everything that does not change between seeds and strategies."""

    data: LoopSet
    maps: FeatureMaps
    train: Train
    sizes: Sizes
    setup: str
    """Identifies data, detector and sizes in the file of outcomes."""

    async def run(self, seed: int, strategy: str, note: Callable[[Outcome], None]) -> None:
        """All rounds of one seed and strategy; `note` gets each outcome."""
        sizes, division = self.sizes, self._division(seed)
        annotated = np.empty(0, np.int64)
        run = _Run(self, seed, strategy, division)
        detect = await asyncio.to_thread(self._trained, division, annotated, seed)
        note(run.outcome(0, annotated, detect))
        budget = sizes.budget * (2 if strategy == TWICE else 1)
        async with self._strategy(strategy, run.state(detect, 1, annotated)) as chooser:
            for number in range(1, sizes.rounds + 1):
                chosen = await chooser.choose(run.state(detect, number, annotated), budget)
                annotated = np.concatenate([annotated, chosen])
                if isinstance(chooser, ProductStrategy):
                    exported = await chooser.annotate(self.data, chosen)
                    assert set(exported.tolist()) == set(annotated.tolist())
                if number < sizes.rounds and not chooser.adapts:
                    continue
                detect = await asyncio.to_thread(self._trained, division, annotated, seed)
                filled = chooser.filled[-1] if isinstance(chooser, ProductStrategy) else 0
                note(replace(run.outcome(number, annotated, detect), filled=filled))

    def repeated(self, outcome: Outcome) -> Outcome:
        """Train on the frames of a round, and test."""
        division = self._division(outcome.seed)
        chosen = np.array(outcome.chosen, np.int64)
        detect = self._trained(division, chosen, outcome.seed)
        return _Run(self, outcome.seed, outcome.strategy, division).outcome(
            outcome.round, chosen, detect
        )

    def _trained(self, division: Division, annotated: IntArray, seed: int) -> Detect:
        # Sorted, because the order of frames is part of what a seed gives, and shortlists of the
        # same frames may be read in another order.
        return self.train(np.sort(np.concatenate([division.initial, annotated])), seed)

    def _division(self, seed: int) -> Division:
        sizes = self.sizes
        counts = sizes.test, sizes.reference, sizes.initial
        return Division.of(len(self.data.frames), seed, counts)

    @asynccontextmanager
    async def _strategy(self, name: str, first: Round) -> AsyncIterator[Strategy]:
        if name not in PRODUCT:
            yield BASELINES["random" if name == TWICE else name]
            return
        operating = operating_score(self.data, first.division.reference, first.found)
        async with product_strategy(
            name, first, self.maps, budget=self.sizes.budget, operating_score=operating
        ) as chooser:
            yield chooser


@dataclass(frozen=True)
class _Run:
    """One seed and strategy."""

    loop: Loop
    seed: int
    strategy: str
    division: Division

    def state(self, detect: Detect, number: int, annotated: IntArray) -> Round:
        """What is known before a round."""
        digest = sha256(f"{self.seed} {self.strategy} {number}".encode()).digest()
        return Round(
            self.loop.data,
            self.division,
            number,
            detect,
            self.loop.maps.vectors,
            annotated,
            np.random.default_rng(int.from_bytes(digest[:8])),
        )

    def outcome(self, number: int, annotated: IntArray, detect: Detect) -> Outcome:
        """How good a detector is after a round, and what the frames cost so far."""
        data = self.loop.data
        test = self.division.test
        found = [detect(frame).detections(data.categories) for frame in test.tolist()]
        tested = figures(data, test, found)
        return Outcome(
            setup=self.loop.setup,
            seed=self.seed,
            strategy=self.strategy,
            round=number,
            frames=len(annotated),
            boxes=int(data.objects[annotated].sum()),
            filled=0,
            mean_ap=tested.mean_ap,
            by_category=tested.by_category,
            chosen=annotated.tolist(),
        )


def operating_score(data: LoopSet, reference: IntArray, detect: Detect) -> float:
    """The score with the highest F1 on the reference, over all categories.

    A detection counts as right if its centre is in an object of its category: near enough here.
    """
    scores: list[float] = []
    right: list[bool] = []
    objects = 0
    for frame in reference.tolist():
        truths = [part.value for part in data.frames[frame].annotations or ()]
        objects += len(truths)
        for detection in detect(frame).detections(data.categories):
            scores.append(detection.score)
            right.append(any(_hits(detection, truth) for truth in truths))
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.cumsum(np.array(right)[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + objects)
    return float(np.array(scores)[order][f1.argmax()])


def _hits(detection: Detection, truth: Annotation) -> bool:
    x, y, width, height = detection.bbox
    left, top, wide, high = truth.bbox
    inside = 0 <= x + width / 2 - left <= wide and 0 <= y + height / 2 - top <= high
    return inside and detection.category == truth.category
