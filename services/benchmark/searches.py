"""Nearest neighbour searches; each is built once, then queried one vector at a time."""

import importlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from services.contracts.errors import MissingPart
from services.domain.arrays import Vectors

Answer = NDArray[np.int64]
Search = Callable[[NDArray[np.float32], int], Answer]
"""Maps a query (D,) and a number of results to example indices, best first."""

_TREES = 20  # report 1's
_LINKS, _BREADTH_BUILT, _BREADTH_ASKED = 16, 100, 128
"""HNSW parameters: Qdrant's defaults for the first two, the same for FAISS."""
_FLOAT, _INT, _LINK = 4, 1, 4
"""Bytes."""


class Built(NamedTuple):
    """A built search, and its bytes per vector."""

    search: Search
    bytes_per_vector: float


class SearchKind(NamedTuple):
    """A way to search.

    Attributes
    ----------
    needs : package from the extra `benchmark`, if the search needs one
    euclidean : whether distances are Euclidean; otherwise angular
    build : builds the search from all vectors, (N, D) of unit length, in an empty folder
    """

    needs: str
    euclidean: bool
    build: Callable[[Vectors, Path], Built]


def optional(package: str) -> ModuleType:
    """Import an optional package.

    Raises
    ------
    MissingPart
        It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as exc:
        raise MissingPart(
            f"{package} is not installed: `pip install 'gazeloop[benchmark]'`, or name other"
            " searches with --search"
        ) from exc


def _exact_cosine(vectors: Vectors, folder: Path) -> Built:
    del folder

    def search(query: NDArray[np.float32], count: int) -> Answer:
        return _smallest(-(vectors @ query), count)

    return Built(search, _FLOAT * vectors.shape[1])


def _exact_euclidean(vectors: Vectors, folder: Path) -> Built:
    del folder
    squares = (vectors * vectors).sum(axis=1)

    def search(query: NDArray[np.float32], count: int) -> Answer:
        return _smallest(squares - 2 * (vectors @ query), count)

    return Built(search, _FLOAT * (vectors.shape[1] + 1))


def _smallest(distances: NDArray[np.float32], count: int) -> Answer:
    if count < len(distances):
        nearest = np.argpartition(distances, count)[:count]
        return nearest[np.argsort(distances[nearest], kind="stable")]
    return np.argsort(distances, kind="stable")


def _faiss_flat(vectors: Vectors, folder: Path) -> Built:
    del folder
    index = optional("faiss").IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return Built(_asking_faiss(index), _FLOAT * vectors.shape[1])


def _faiss_hnsw(vectors: Vectors, folder: Path) -> Built:
    del folder
    faiss = optional("faiss")
    index = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = _BREADTH_BUILT, _BREADTH_ASKED
    index.add(vectors)
    # HNSW keeps twice as many links on the bottom level, which contains every vector.
    return Built(_asking_faiss(index), _FLOAT * vectors.shape[1] + 2 * _LINKS * _LINK)


def _asking_faiss(index: object) -> Search:
    def search(query: NDArray[np.float32], count: int) -> Answer:
        found: Answer = index.search(query[None, :], count)[1][0]  # type: ignore[attr-defined]  # FAISS ships no types
        return found[found >= 0]

    return search


def _annoy(metric: str) -> Callable[[Vectors, Path], Built]:
    def build(vectors: Vectors, folder: Path) -> Built:
        index = optional("annoy").AnnoyIndex(vectors.shape[1], metric)
        index.set_seed(0)
        for place, vector in enumerate(vectors):
            index.add_item(place, vector)
        index.build(_TREES, n_jobs=1)
        index.save(str(folder / "annoy"))

        def search(query: NDArray[np.float32], count: int) -> Answer:
            return np.array(index.get_nns_by_vector(query, count), np.int64)

        return Built(search, (folder / "annoy").stat().st_size / len(vectors))

    return build


def _qdrant(*, quantised: bool) -> Callable[[Vectors, Path], Built]:
    def build(vectors: Vectors, folder: Path) -> Built:
        dimension = vectors.shape[1]
        int8 = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, always_ram=True)
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(
                dimension,
                edge.Distance.Cosine,
                # Index small sets too, because the benchmark measures the index.
                hnsw_config=edge.HnswIndexConfig(_LINKS, _BREADTH_BUILT, 1),
                quantization_config=int8 if quantised else None,
            ),
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1),
        )
        shard = edge.EdgeShard.create(str(folder / "qdrant"), config)
        for start in range(0, len(vectors), 1000):
            rows = [
                edge.Point(start + place, vector.tolist(), {})
                for place, vector in enumerate(vectors[start : start + 1000])
            ]
            shard.update(edge.UpdateOperation.upsert_points(rows))
        shard.optimize()
        links = 2 * _LINKS * _LINK
        bytes_per_vector = _FLOAT * dimension + links + (_INT * dimension if quantised else 0)
        return Built(_asking_qdrant(shard), bytes_per_vector)

    return build


def _asking_qdrant(shard: edge.EdgeShard) -> Search:
    params = edge.SearchParams(
        hnsw_ef=_BREADTH_ASKED, quantization=edge.QuantizationSearchParams(rescore=True)
    )

    def search(query: NDArray[np.float32], count: int) -> Answer:
        request = edge.QueryRequest(
            limit=count,
            query=edge.Query.Nearest(query),  # type: ignore[arg-type]  # takes arrays too
            params=params,
            with_payload=False,
        )
        return np.array([int(found.id) for found in shard.query(request)], np.int64)

    return search


SEARCHES: Mapping[str, SearchKind] = {
    "exact-cosine": SearchKind("", False, _exact_cosine),
    "exact-euclidean": SearchKind("", True, _exact_euclidean),
    "faiss-flat": SearchKind("faiss", False, _faiss_flat),
    "faiss-hnsw": SearchKind("faiss", False, _faiss_hnsw),
    "annoy-angular": SearchKind("annoy", False, _annoy("angular")),
    "annoy-euclidean": SearchKind("annoy", True, _annoy("euclidean")),
    "qdrant-hnsw": SearchKind("", False, _qdrant(quantised=False)),
    "qdrant-hnsw-int8": SearchKind("", False, _qdrant(quantised=True)),
}


def available() -> list[str]:
    """The searches whose packages are installed."""
    found = []
    for name, kind in SEARCHES.items():
        try:
            if kind.needs:
                optional(kind.needs)
        except MissingPart:
            continue
        found.append(name)
    return found


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder for a search's files."""
    return tempfile.TemporaryDirectory(prefix="gazeloop-benchmark-")
