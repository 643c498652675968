"""The rankings that are compared: a score for each needle and each haystack region of its kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from benchmarks.retrieval_data import EMBEDDED_SCORE, DataSet
from services.domain.arrays import BoolArray, FloatArray, IntArray, Vectors
from services.domain.mining import failure_model
from services.domain.mining.failure_model import Examples, FailureModel
from services.domain.mining.ranking import true_positive_similarity
from services.runtime.settings import Settings

OPERATING = Settings().operating_score


@dataclass(frozen=True, eq=False)
class Task:
    """One kind under one split, as places in the data set.

    Attributes
    ----------
    reference : annotated regions that are embedded
    needles : those of them that are wrong and shown
    haystack : regions that are shown on haystack frames
    """

    data: DataSet
    category: int
    reference: IntArray
    needles: IntArray
    haystack: IntArray
    seed: int


Ranking = Callable[[Task], FloatArray]
"""(needles, haystack): the higher, the better."""


def tasks(data: DataSet, haystack: BoolArray, seed: int) -> list[Task]:
    """Each category's task where the haystack has these frames."""
    return _tasks(data, haystack.tobytes(), seed)


@lru_cache(maxsize=1)  # plans of one split share what is learnt of a task
def _tasks(data: DataSet, haystack: bytes, seed: int) -> list[Task]:
    found = []
    shown = data.scores >= OPERATING
    searched = np.frombuffer(haystack, np.bool_)[data.frame]
    for category in range(data.truths.shape[1]):
        of_category = data.category == category
        task = Task(
            data,
            category,
            np.flatnonzero(of_category & ~searched & (data.scores >= EMBEDDED_SCORE)),
            np.flatnonzero(of_category & ~searched & shown & data.wrong),
            np.flatnonzero(of_category & searched & shown),
            seed,
        )
        if len(task.needles) and len(task.haystack):
            found.append(task)
    return found


def random_draw(task: Task) -> FloatArray:
    """What an equal random draw gives."""
    rng = np.random.default_rng([task.seed, task.category])
    return rng.random((len(task.needles), len(task.haystack)))


def lowest_score(task: Task) -> FloatArray:
    """What active learning asks for."""
    return np.tile(-task.data.scores[task.haystack], (len(task.needles), 1))


def highest_score(task: Task) -> FloatArray:
    """The detector's surest."""
    return -lowest_score(task)


def similarity(encoder: str, *, centred: bool) -> Ranking:
    """Nearest neighbours by cosine."""

    def rank(task: Task) -> FloatArray:
        needles, haystack, _ = vectors_of(task, encoder, centred=centred)
        return np.asarray(needles @ haystack.T, np.float64)

    return rank


def contrast(encoder: str, low_score: float) -> Ranking:
    """Similarity to the needle over that to the nearest reference true positives."""

    def rank(task: Task) -> FloatArray:
        needles, haystack, rights = vectors_of(task, encoder, centred=True)
        evidence = needles @ haystack.T - true_positive_similarity(haystack, rights)
        low = _standardised(task.data.scores[task.haystack][None, :])
        return np.asarray(_standardised(evidence) - low_score * low)

    return rank


@dataclass(frozen=True)
class Learning:
    """The logistic model, with parts of it left out or set otherwise."""

    columns: Sequence[int] | None = None
    """Of the features; all of them where none are named."""
    examples_from: float = EMBEDDED_SCORE
    with_vectors: bool = True
    ridge: float = failure_model.RIDGE
    components: int = failure_model.COMPONENTS
    similarity: float = 0.0
    """Weight of the needle's own similarity beside the mode's evidence."""

    def model(self, task: Task) -> FailureModel:
        """Fitted to the task's reference."""
        data = task.data
        chosen = task.reference[data.scores[task.reference] >= self.examples_from]
        modes = tuple(data.modes[place] for place in chosen)
        failure_model.RIDGE, failure_model.COMPONENTS = self.ridge, self.components  # type: ignore[misc]  # a benchmark may
        return FailureModel.fit(
            Examples(self.vectors(data, chosen), self.features(data, chosen), modes)
        )

    def vectors(self, data: DataSet, places: IntArray) -> Vectors:
        """Of these detections."""
        rows = data.vectors["crop"][places]
        return rows if self.with_vectors else np.asarray(rows[:, :1] * 0)

    def features(self, data: DataSet, places: IntArray) -> FloatArray:
        """Of these detections."""
        rows = data.features[places]
        return rows if self.columns is None else rows[:, list(self.columns)]

    def __call__(self, task: Task) -> FloatArray:
        data, model = task.data, self.model(task)
        evidence = np.empty((len(task.needles), len(task.haystack)))
        haystack = self.vectors(data, task.haystack), self.features(data, task.haystack)
        of = [data.modes[place] for place in task.needles]
        for mode in {mode for mode in of if mode is not None}:
            rows = [place for place, item in enumerate(of) if item == mode]
            needles = self.vectors(data, task.needles[rows])
            evidence[rows] = model.evidence(mode, needles, *haystack)
        if self.similarity:
            near = similarity("crop", centred=True)(task)
            return np.asarray(np.log(evidence + 1e-12) + self.similarity * near)
        return evidence


LEARNT = Learning()
SCORE, GEOMETRY, COMPANIONS = [0], list(range(1, 9)), list(range(9, 21))
ABLATIONS = {
    "all of it": LEARNT,
    "without the vector": replace(LEARNT, with_vectors=False),
    "without the score": replace(LEARNT, columns=GEOMETRY + COMPANIONS),
    "without place and size": replace(LEARNT, columns=SCORE + COMPANIONS),
    "without the other boxes of the frame": replace(LEARNT, columns=SCORE + GEOMETRY),
    "the vector alone": replace(LEARNT, columns=[]),
    "the score alone": replace(LEARNT, columns=SCORE, with_vectors=False),
    "place and size alone": replace(LEARNT, columns=GEOMETRY, with_vectors=False),
    "the other boxes of the frame alone": replace(LEARNT, columns=COMPANIONS, with_vectors=False),
    "examples from the operating score only": replace(LEARNT, examples_from=OPERATING),
    "ridge 1": replace(LEARNT, ridge=1.0),
    "ridge 3": replace(LEARNT, ridge=3.0),
    "ridge 30": replace(LEARNT, ridge=30.0),
    "ridge 100": replace(LEARNT, ridge=100.0),
    "16 components": replace(LEARNT, components=16),
    "128 components": replace(LEARNT, components=128),
    "and half the needle's own similarity": replace(LEARNT, similarity=0.5),
    "and the needle's own similarity": replace(LEARNT, similarity=1.0),
}


def vectors_of(task: Task, encoder: str, *, centred: bool) -> tuple[Vectors, Vectors, Vectors]:
    """Of the needles, the haystack and the reference's shown true positives."""
    data = task.data
    rows = data.vectors[encoder]
    rights = task.reference[
        ~data.wrong[task.reference] & (data.scores[task.reference] >= OPERATING)
    ]
    mean = rows[task.reference].mean(axis=0) if centred else 0.0
    parts = [rows[places] - mean for places in (task.needles, task.haystack, rights)]
    needles, haystack, right = (
        part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9) for part in parts
    )
    return needles, haystack, right


def _standardised(rows: FloatArray) -> FloatArray:
    deviation = np.maximum(rows.std(axis=1, keepdims=True), 1e-9)
    return np.asarray((rows - rows.mean(axis=1, keepdims=True)) / deviation)
