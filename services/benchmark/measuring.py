"""Measure searches on an embedder's vectors: embed all examples, then run every search."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.benchmark.searches import SEARCHES, Answer, Search, scratch
from services.contracts.errors import Invalid, InvalidSettings
from services.domain.arrays import IntArray, Vectors
from services.domain.statistics.retrieval_quality import RetrievalQuality, retrieval_quality
from services.embedder.embedder import Embedder
from services.embedder.training.labelled import Example, letterboxed

NEAREST = 10
"""Number of results that both reports retrieved."""


@dataclass(frozen=True)
class Embedded:
    """The readable examples, with their vectors.

    Attributes
    ----------
    vectors : (N, D)
    seconds : time of embedding, without reading
    unreadable : frames with an unreadable image
    """

    examples: Sequence[Example]
    vectors: Vectors
    seconds: float
    unreadable: Sequence[str]


@dataclass(frozen=True)
class Truth:
    """The relevance of examples to one another, at each level.

    Attributes
    ----------
    levels : (N,) labels by the level's name, `category` first
    apart : (N,) drives, or frames; a query's results exclude members of its own
    """

    levels: Mapping[str, IntArray]
    apart: IntArray


@dataclass(frozen=True)
class Searched:
    """One search on one embedder's vectors.

    Attributes
    ----------
    quality : by level
    recall_of_exact : share of the exact ten nearest neighbours among its ten results
    ranked : (Q, depth) example indices by query, -1 for none
    """

    name: str
    quality: Mapping[str, RetrievalQuality]
    build_s: float
    queries_per_s: float
    recall_of_exact: float
    bytes_per_vector: float
    ranked: NDArray[np.int64]


def embed(
    embedder: Embedder,
    examples: Sequence[Example],
    letterbox: int | None,
    advance: Callable[[int], None],
) -> Embedded:
    """Vectors of all examples, frame by frame.

    Parameters
    ----------
    letterbox : side to which whole frames are scaled and padded; None leaves frames unchanged
    advance : called with the number of newly finished examples
    """
    kept: list[Example] = []
    parts: list[Vectors] = []
    unreadable: list[str] = []
    seconds = 0.0
    for _, group in groupby(examples, key=lambda example: example.frame.frame_id):
        batch = list(group)
        try:
            image = batch[0].frame.read()
        except Invalid:
            unreadable.append(batch[0].frame.frame_id)
            advance(len(batch))
            continue
        started = time.perf_counter()
        if batch[0].box is None:
            whole = letterboxed(image, letterbox) if letterbox else image
            part = embedder.embed([whole], [np.empty((0, 4))])[0].frame[None]
        else:
            boxes = np.array([example.box for example in batch], np.float64)
            part = embedder.embed([image], [boxes])[0].regions
        seconds += time.perf_counter() - started
        parts.append(part)
        kept += batch
        advance(len(batch))
    vectors = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
    return Embedded(kept, np.ascontiguousarray(vectors), seconds, unreadable)


def truth_of(examples: Sequence[Example], supercategory: Mapping[str, str]) -> Truth:
    """The relevance of examples to one another.

    Parameters
    ----------
    supercategory : by category; empty if there are none
    """
    levels = {"category": _numbered([example.label for example in examples])}
    if supercategory:
        above = [supercategory.get(example.label, example.label) for example in examples]
        levels["supercategory"] = _numbered(above)
    return Truth(levels, _numbered([example.frame.drive for example in examples]))


def _numbered(names: Sequence[str]) -> IntArray:
    return np.asarray(np.unique(names, return_inverse=True)[1].astype(np.int64))


def search(
    name: str, vectors: Vectors, truth: Truth, queries: NDArray[np.int64], depth: int
) -> Searched:
    """Build one search and run every query on it, for its quality and then for its speed.

    Raises
    ------
    MissingPart
        It needs a package that is not installed.
    InvalidSettings
        No query has a relevant example.
    """
    # Searches also return the query's own group, which is left out afterwards: ask for more.
    largest = int(np.bincount(truth.apart).max())
    limit = min(depth + largest, len(vectors))
    with scratch() as folder:
        started = time.perf_counter()
        built = SEARCHES[name].build(vectors, Path(folder))
        build_s = time.perf_counter() - started
        ranked = np.full((len(queries), depth), -1, np.int64)
        for row, query in enumerate(queries):
            found = built.search(vectors[query], limit)
            others = found[truth.apart[found] != truth.apart[query]][:depth]
            ranked[row, : len(others)] = others
        nearest, seconds = _timed(built.search, vectors[queries])
    return Searched(
        name,
        {level: _quality(ranked, queries, truth, level) for level in truth.levels},
        build_s,
        len(queries) / seconds,
        _shared(nearest, vectors, queries),
        built.bytes_per_vector,
        ranked,
    )


def _timed(search: Search, queries: Vectors) -> tuple[list[Answer], float]:
    search(queries[0], NEAREST)
    started = time.perf_counter()
    found = [search(query, NEAREST) for query in queries]
    return found, time.perf_counter() - started


def _quality(
    ranked: NDArray[np.int64], queries: NDArray[np.int64], truth: Truth, level: str
) -> RetrievalQuality:
    labels, apart = truth.levels[level], truth.apart
    relevant = (labels[ranked] == labels[queries][:, None]) & (ranked >= 0)
    total = np.array(
        [np.sum((labels == labels[query]) & (apart != apart[query])) for query in queries]
    )
    found = retrieval_quality(relevant, total)
    if found is None:
        raise InvalidSettings(
            f"no {level} is on two drives (or frames, where drives are not known), so there is"
            " nothing to find: give more frames"
        )
    return found


def _shared(found: Sequence[Answer], vectors: Vectors, queries: NDArray[np.int64]) -> float:
    """Mean share of the exact ten nearest neighbours; ties with the tenth count as well."""
    shares = []
    for query, answer in zip(queries, found, strict=True):
        similar = vectors @ vectors[query]
        count = min(NEAREST, len(similar))
        tenth = np.partition(-similar, count - 1)[count - 1]
        shares.append(
            float(np.mean(-similar[answer[:count]] <= tenth + 1e-6)) * len(answer) / count
        )
    return float(np.mean(shares))
