"""New haystack regions: judged by what was learnt, or looked up among needles in a collection?

`python -m benchmarks.retrieval_standing`. Each seed is a split. Every haystack region of a kind of
which there are needles comes as if it were new. A collection of needles takes it for the mode of
its nearest needle, if that is near enough; what was learnt takes it for its likeliest mode, if that
has the evidence. The collection's threshold is the one that takes as many regions, so that the two
differ in which. Then the cost: a lookup in Qdrant Edge, and the judgement of a batch, by region.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
from rich.console import Console

from benchmarks.retrieval_data import DataSet, survey, trapedesveh
from benchmarks.retrieval_measures import figure, options
from benchmarks.retrieval_plans import haystack_of
from benchmarks.retrieval_rankings import LEARNT, Task, tasks
from services.contracts.events import ErrorType
from services.contracts.identity import Category, PointId
from services.domain.arrays import BoolArray, FloatArray, Vectors
from services.domain.failure_modes import FailureMode
from services.domain.mining.failure_model import Examples, FailureModel
from services.domain.mining.region_features import FEATURES
from services.domain.ports.vectors import Point, Where
from services.runtime.settings import Settings
from services.runtime.stores.vectors_edge import EdgeVectorStore

EVIDENCE = Settings().shortlist_evidence
NEEDLES, KINDS, DIMENSION, BATCH, EXAMPLES = 3200, 10, 512, 48, 500


@dataclass(frozen=True)
class Judged:
    """Regions by how surely each way takes them, and whether it takes them for their own mode."""

    nearness: FloatArray
    nearness_right: BoolArray
    evidence: FloatArray
    evidence_right: BoolArray
    fails: BoolArray
    """Whether it fails in a mode of which there is a needle."""


def judged(task: Task) -> Judged:
    """All haystack regions of a kind, by both ways."""
    data = task.data
    of = [mode for place in task.needles if (mode := data.modes[place]) is not None]
    modes = sorted(set(of))
    true = [data.modes[place] for place in task.haystack]
    rows, features = data.vectors["crop"][task.haystack], data.features[task.haystack]
    needles = data.vectors["crop"][task.needles]
    alike = needles @ rows.T
    nearest = alike.argmax(axis=0)
    model = LEARNT.model(task)
    evidence = np.stack(
        [
            model.evidence(mode, needles[[item == mode for item in of]], rows, features)
            for mode in modes
        ]
    )
    likeliest = evidence.argmax(axis=0)
    return Judged(
        alike.max(axis=0).astype(np.float64),
        np.array([of[n] == mode for n, mode in zip(nearest, true, strict=True)]),
        evidence.max(axis=0),
        np.array([modes[n] == mode for n, mode in zip(likeliest, true, strict=True)]),
        np.array([mode in modes for mode in true]),
    )


def compared(data: DataSet, seed: int) -> list[float]:
    """Taken; right among them and found of all that fail, by collection and by what was learnt."""
    every = [judged(task) for task in tasks(data, haystack_of(data, seed), seed)]
    nearness = np.concatenate([item.nearness for item in every])
    learnt = np.concatenate([item.evidence for item in every]) >= EVIDENCE
    near = np.zeros(len(nearness), np.bool_)
    near[np.argsort(-nearness, kind="stable")[: learnt.sum()]] = True
    fails = np.concatenate([item.fails for item in every]).sum()
    near &= np.concatenate([item.nearness_right for item in every])
    right = learnt & np.concatenate([item.evidence_right for item in every])
    taken = float(learnt.sum())
    both = float((near & right).sum())
    return [
        taken,
        near.sum() / taken,
        near.sum() / fails,
        right.sum() / taken,
        right.sum() / fails,
        both / max(1.0, float(near.sum())),
    ]


def _unit(rng: np.random.Generator, count: int) -> Vectors:
    rows = rng.standard_normal((count, DIMENSION), np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


async def lookup_ms(folder: Path, regions: Vectors) -> float:
    """A region's nearest needle of its kind, in a collection of their own."""
    store = EdgeVectorStore.open(folder)
    await store.ensure("needles", DIMENSION, keywords=("category",), numbers=())
    needles = _unit(np.random.default_rng(1), NEEDLES)
    points = [
        Point(PointId(str(UUID(int=n))), row, {"category": f"{n % KINDS}"})
        for n, row in enumerate(needles)
    ]
    await store.upsert("needles", points)
    started = time.perf_counter()
    for region in regions:
        await store.nearest("needles", region, Where({"category": "1"}), 1)
    took = time.perf_counter() - started
    await store.close()
    return took / len(regions) * 1e3


def judgement_ms(regions: Vectors) -> float:
    """The same region by what was learnt of its kind's modes, as one of a batch."""
    rng = np.random.default_rng(2)
    of_modes = [FailureMode(ErrorType.CLASSIFICATION, Category(f"{n}")) for n in range(10)]
    modes = [None if n % 3 else of_modes[n % 10] for n in range(EXAMPLES)]
    model = FailureModel.fit(
        Examples(_unit(rng, EXAMPLES), rng.random((EXAMPLES, FEATURES)), modes)
    )
    features = rng.random((BATCH, FEATURES))
    started = time.perf_counter()
    for start in range(0, len(regions), BATCH):
        batch, shown = regions[start : start + BATCH].copy(), features.copy()
        for mode in of_modes:
            model.evidence(mode, batch[:1], batch, shown)
    return (time.perf_counter() - started) / len(regions) * 1e3


def main() -> None:
    """Print what each way finds, and what it costs."""
    seeds = options(__doc__).parse_args().seeds
    out = Console(width=120)
    for load in (trapedesveh, survey):
        data = load()
        rows = [compared(data, seed) for seed in seeds]
        taken, *shares = (figure([row[n] for row in rows], 3) for n in range(6))
        out.print(f"{data.name}: {taken} regions taken; taken for their own mode, and of all found")
        out.print(f"  collection of needles: {shares[0]}, {shares[1]}")
        out.print(f"  what was learnt:       {shares[2]}, {shares[3]}")
        out.print(f"  of the collection's, found by what was learnt: {shares[4]}")
    regions = _unit(np.random.default_rng(3), 20 * BATCH)
    with tempfile.TemporaryDirectory() as folder:
        looked_up = asyncio.run(lookup_ms(Path(folder), regions))
    out.print(f"lookup among {NEEDLES} needles of {KINDS} kinds: {looked_up:.3f} ms a region")
    out.print(f"judgement by ten modes, {BATCH} at a time: {judgement_ms(regions):.3f} ms a region")


if __name__ == "__main__":
    main()
