"""How fast the nearest regions are found: through our interface, and by others beside it.

`python -m benchmarks.retrieval_speed` in the benchmarks' own environment (requirements/bench.txt).
One query at a time, one thread each; ours and the bare engine two at a time besides, and twenty in
one question, as the retriever asks for all that is sought of a kind. Recall is the share of the
exact ten nearest that are found.
The vectors are drawn around 2,000 centres, as regions of street images gather around objects.
"""

import asyncio
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import annoy
import faiss
import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from services.contracts.identity import PointId
from services.domain.arrays import Vectors
from services.domain.ports.vectors import Point, Where
from services.runtime.stores.vectors_edge import EdgeVectorStore

Ids = list[int]
Search = Callable[[Vectors], Ids]
AsyncSearch = Callable[[Vectors], Awaitable[Ids]]
AsyncSearches = Callable[[Vectors], Awaitable[list[Ids]]]

NEAREST = 10
CENTRES = 2000
CATEGORIES = 10
TREES = 20
BATCH = 2000
TURN = 20


@dataclass(frozen=True)
class Searched:
    """One way to search: what it found for each query, and the seconds each took."""

    name: str
    build_s: float
    found: Sequence[Ids]
    seconds: NDArray[np.float64]


def regions(count: int, dimension: int, queries: int) -> tuple[Vectors, Vectors]:
    """Unit vectors, and queries from among their kind."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CENTRES, dimension), np.float32)
    places = rng.integers(0, CENTRES, count + queries)
    noise = rng.standard_normal((count + queries, dimension), np.float32)
    every = centres[places] + 0.7 * noise
    every /= np.linalg.norm(every, axis=1, keepdims=True)
    return every[:count], every[count:]


def timed(name: str, build_s: float, queries: Vectors, search: Search) -> Searched:
    """Each query once, after one to warm up."""
    search(queries[0])
    found, seconds = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(search(query))
        seconds.append(time.perf_counter() - started)
    return Searched(name, build_s, found, np.array(seconds))


async def timed_in_turn(
    name: str, bare: Search, gazeloop: AsyncSearch, build_s: float, queries: Vectors
) -> list[Searched]:
    """Every query by both in turn, so that what else the machine does hits both alike.

    In one running loop, as the retriever asks.
    """
    found: tuple[list[Ids], list[Ids]] = ([], [])
    seconds: tuple[list[float], list[float]] = ([], [])
    for number, query in enumerate(queries):
        for way in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            found[way].append(await gazeloop(query) if way else bare(query))
            seconds[way].append(time.perf_counter() - started)
    names = (f"bare qdrant-edge{name}", f"Gazeloop on qdrant-edge{name}")
    return [
        Searched(text, build_s, found[way], np.array(seconds[way]))
        for way, text in enumerate(names)
    ]


async def timed_by_turns(
    names: tuple[str, str], bare: AsyncSearches, gazeloop: AsyncSearches, queries: Vectors
) -> list[Searched]:
    """Turns of so many queries, so that what else the machine does hits both alike.

    Each query is counted with an equal part of its turn.
    """
    found: tuple[list[Ids], list[Ids]] = ([], [])
    seconds: tuple[list[float], list[float]] = ([], [])
    for number, start in enumerate(range(0, len(queries), TURN)):
        turn = queries[start : start + TURN]
        for way in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            found[way].extend(await (gazeloop if way else bare)(turn))
            took = time.perf_counter() - started
            seconds[way].extend([took / len(turn)] * len(turn))
    return [
        Searched(text, 0.0, found[way], np.array(seconds[way])) for way, text in enumerate(names)
    ]


async def timed_two_at_a_time(
    what: str, bare: Search, gazeloop: AsyncSearch, queries: Vectors
) -> list[Searched]:
    """Two queries under way at any time: the engine's from two threads, ours from two tasks."""
    with ThreadPoolExecutor(2) as pool:

        async def by_two_threads(turn: Vectors) -> list[Ids]:
            return list(pool.map(bare, turn))

        async def by_two_tasks(turn: Vectors) -> list[Ids]:
            return await _by_two_tasks(gazeloop, list(turn))

        names = (f"bare qdrant-edge{what}, two at a time", f"Gazeloop on it{what}, two at a time")
        return await timed_by_turns(names, by_two_threads, by_two_tasks, queries)


async def _by_two_tasks(search: AsyncSearch, queries: Sequence[Vectors]) -> list[Ids]:
    found: list[Ids] = [[] for _ in queries]
    left = iter(enumerate(queries))

    async def task() -> None:
        for place, query in left:
            found[place] = await search(query)

    await asyncio.gather(task(), task())
    return found


def exact_numpy(vectors: Vectors, queries: Vectors) -> Searched:
    """A product with all vectors, and the largest of it."""

    def search(query: Vectors) -> Ids:
        similar = vectors @ query
        nearest = np.argpartition(-similar, NEAREST)[:NEAREST]
        best: Ids = nearest[np.argsort(-similar[nearest])].tolist()
        return best

    return timed("exact, numpy", 0.0, queries, search)


def by_faiss(name: str, index: faiss.Index, vectors: Vectors, queries: Vectors) -> Searched:
    """One of FAISS's indexes."""
    started = time.perf_counter()
    index.add(vectors)
    built = time.perf_counter() - started

    def search(query: Vectors) -> Ids:
        found: Ids = index.search(query[None, :], NEAREST)[1][0].tolist()
        return found

    return timed(name, built, queries, search)


def faiss_hnsw(dimension: int) -> faiss.Index:
    """With the links and breadth that its authors recommend for high recall."""
    index = faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 100, 256
    return index


def by_annoy(vectors: Vectors, queries: Vectors) -> Searched:
    """Twenty trees."""
    index = annoy.AnnoyIndex(vectors.shape[1], "angular")
    index.set_seed(0)
    started = time.perf_counter()
    for number, vector in enumerate(vectors):
        index.add_item(number, vector)
    index.build(TREES, n_jobs=1)
    built = time.perf_counter() - started
    return timed(
        f"Annoy, {TREES} trees",
        built,
        queries,
        lambda query: index.get_nns_by_vector(query, NEAREST),
    )


def points(vectors: Vectors) -> list[Point]:
    """With the payload that searches filter by."""
    return [
        Point(
            PointId(str(UUID(int=number))),
            vector,
            {
                "category": f"category-{number % CATEGORIES}",
                "split": "reference" if number % 10 == 0 else "haystack",
                "score": (number % 100) / 100,
            },
        )
        for number, vector in enumerate(vectors)
    ]


KIND = Where({"category": "category-3", "split": "haystack"}, {"score": 0.5})


async def filled(folder: Path, vectors: Vectors, *, indexed: bool) -> EdgeVectorStore:
    """Our store on Qdrant Edge, with the regions in it."""
    store = EdgeVectorStore.open(folder)
    keywords = ("category", "split") if indexed else ()
    numbers = ("score",) if indexed else ()
    await store.ensure("regions", vectors.shape[1], keywords=keywords, numbers=numbers)
    every = points(vectors)
    for start in range(0, len(every), BATCH):
        await store.upsert("regions", every[start : start + BATCH])
    return store


def by_us(store: EdgeVectorStore, where: Where) -> AsyncSearch:
    """What the retriever calls."""

    async def search(query: Vectors) -> Ids:
        hits = await store.nearest("regions", query, where, NEAREST)
        return [UUID(hit.point_id).int for hit in hits]

    return search


def bare(shard: edge.EdgeShard, chosen: edge.Filter | None) -> Search:
    """Qdrant Edge without us, payload included."""

    def search(query: Vectors) -> Ids:
        return [UUID(str(found.id)).int for found in shard.query(bare_request(query, chosen))]

    return search


def bare_request(query: Vectors, chosen: edge.Filter | None) -> edge.QueryRequest:
    """One query, payload included."""
    nearest = edge.Query.Nearest(query)  # type: ignore[arg-type]  # takes arrays too
    return edge.QueryRequest(limit=NEAREST, query=nearest, with_payload=True, filter=chosen)


def at_once_by_us(store: EdgeVectorStore, where: Where) -> AsyncSearches:
    """What the retriever calls where it seeks in many directions."""

    async def search(turn: Vectors) -> list[Ids]:
        answers = await store.nearest_batch("regions", turn, where, NEAREST)
        return [[UUID(hit.point_id).int for hit in hits] for hits in answers]

    return search


def bare_at_once(shard: edge.EdgeShard, chosen: edge.Filter | None) -> AsyncSearches:
    """Qdrant Edge's own way to the same."""

    async def search(turn: Vectors) -> list[Ids]:
        requests = [bare_request(query, chosen) for query in turn]
        answers = shard.query_batch(edge.QueryBatchRequest(requests))
        return [[UUID(str(found.id)).int for found in answer] for answer in answers]

    return search


def bare_filter() -> edge.Filter:
    """The same as KIND."""
    return edge.Filter(
        must=[
            edge.FieldCondition("category", match=edge.MatchValue("category-3")),
            edge.FieldCondition("split", match=edge.MatchValue("haystack")),
            edge.FieldCondition("score", range=edge.RangeFloat(gte=0.5)),
        ]
    )


def on_edge(vectors: Vectors, queries: Vectors) -> list[Searched]:
    """Ours beside the bare engine on one and the same folder: all regions, then those of a kind."""
    results = []
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        store = loop.run_until_complete(filled(Path(folder), vectors, indexed=True))
        built = time.perf_counter() - started
        held = store._shard("regions")  # noqa: SLF001  # the very same shard, without us around it
        assert held is not None
        for what, where, chosen in (("", Where(), None), (", one kind", KIND, bare_filter())):
            both = timed_in_turn(what, bare(held[0], chosen), by_us(store, where), built, queries)
            results += loop.run_until_complete(both)
            both = timed_two_at_a_time(what, bare(held[0], chosen), by_us(store, where), queries)
            results += loop.run_until_complete(both)
            names = (
                f"bare qdrant-edge{what}, {TURN} at once",
                f"Gazeloop on it{what}, {TURN} at once",
            )
            both = timed_by_turns(
                names, bare_at_once(held[0], chosen), at_once_by_us(store, where), queries
            )
            results += loop.run_until_complete(both)
        loop.run_until_complete(store.close())
    with tempfile.TemporaryDirectory() as folder:
        store = loop.run_until_complete(filled(Path(folder), vectors, indexed=False))
        gazeloop = by_us(store, KIND)
        results.append(
            timed(
                "one kind, no payload index",
                0.0,
                queries[:20],
                lambda query: loop.run_until_complete(gazeloop(query)),
            )
        )
        loop.run_until_complete(store.close())
    loop.close()
    return results


def recall(found: Sequence[Ids], wanted: Sequence[Ids]) -> float:
    """Mean share of the wanted that were found."""
    return float(
        np.mean([len({*f} & {*w}) / len(w) for f, w in zip(found, wanted, strict=False) if w])
    )


def exact_of_kind(vectors: Vectors, queries: Vectors) -> list[Ids]:
    """The exact answers among regions of KIND."""
    numbers = np.arange(len(vectors))
    chosen = (numbers % CATEGORIES == 3) & (numbers % 10 != 0) & (numbers % 100 >= 50)  # noqa: PLR2004  # KIND
    sample = numbers[chosen]
    similar = queries @ vectors[sample].T
    return [sample[np.argsort(-row, kind="stable")[:NEAREST]].tolist() for row in similar]


def main() -> None:
    """Print the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--regions", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument(
        "--gazeloop-only", action="store_true", help="only Gazeloop beside the engine"
    )
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    vectors, queries = regions(args.regions, args.dimension, args.queries)
    exact = exact_numpy(vectors, queries)
    every = [exact]
    if not args.gazeloop_only:
        every += [
            by_faiss("FAISS, flat", faiss.IndexFlatIP(args.dimension), vectors, queries),
            by_faiss("FAISS, HNSW", faiss_hnsw(args.dimension), vectors, queries),
            by_annoy(vectors, queries),
        ]
    every += on_edge(vectors, queries)
    of_kind = exact_of_kind(vectors, queries)
    table = Table(title=f"{args.regions:,} regions of {args.dimension} dimensions")
    for heading in ("", "queries/s", "median ms", "p99 ms", "recall@10", "build s"):
        table.add_column(heading, justify="right" if heading else "left")
    for searched in every:
        wanted = of_kind if "kind" in searched.name else exact.found
        middle, late = np.percentile(searched.seconds * 1e3, (50, 99))
        table.add_row(
            searched.name,
            f"{len(searched.seconds) / searched.seconds.sum():.0f}",
            f"{middle:.2f}",
            f"{late:.2f}",
            f"{recall(searched.found, wanted):.4f}",
            f"{searched.build_s:.1f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
