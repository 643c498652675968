"""How many regions one machine holds: a million, as floats and as bytes.

`python -m benchmarks.retrieval_size` in the benchmarks' own environment (requirements/bench.txt).
One process fills our store on Qdrant Edge; a fresh one opens it and asks one query at a time.
Memory is what that one holds once it has searched: its own, and pages of files, which the system
takes back when others need them.
"""

import asyncio
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.retrieval_speed import CATEGORIES, CENTRES, KIND, NEAREST
from services.contracts.identity import PointId
from services.domain.arrays import Vectors
from services.domain.ports.vectors import Point, Quantization, Where
from services.runtime.stores.vectors_edge import EdgeVectorStore

CHUNK = 10_000
_T = TypeVar("_T")
WHERES = {"all": Where(), "one kind": KIND}


@dataclass(frozen=True)
class Size:
    """What is asked of each way."""

    regions: int
    dimension: int
    queries: int


@dataclass(frozen=True)
class Searched:
    """MiB of memory; seconds and recall by what is searched."""

    own_mib: int
    file_mib: int
    seconds: dict[str, NDArray[np.float64]]
    recall: dict[str, float]


def chunks(size: Size) -> Iterator[tuple[int, Vectors]]:
    """The regions, some at a time: around centres, as those of street images are."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, size.dimension), np.float32)
    for start in range(0, size.regions, CHUNK):
        yield start, _around(centres, min(CHUNK, size.regions - start), seed=1 + start)


def _around(centres: Vectors, count: int, seed: int) -> Vectors:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, centres.shape[1]), np.float32)
    rows = centres[rng.integers(0, len(centres), count)] + 0.7 * noise
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def queries_of(size: Size) -> Vectors:
    """Regions of the same kind that are not among them."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, size.dimension), np.float32)
    return _around(centres, size.queries, seed=0)


def exact(size: Size) -> dict[str, NDArray[np.int64]]:
    """The nearest of each query, by products with every region."""
    queries = queries_of(size)
    best = {name: np.full((size.queries, NEAREST), -2.0, np.float32) for name in WHERES}
    ids = {name: np.full((size.queries, NEAREST), -1, np.int64) for name in WHERES}
    for start, rows in chunks(size):
        numbers = np.arange(start, start + len(rows))
        similar = queries @ rows.T
        for name in WHERES:
            selected = _of_kind(numbers) if name != "all" else np.ones(len(numbers), np.bool_)
            both = np.concatenate([best[name], similar[:, selected]], axis=1)
            known = np.concatenate(
                [ids[name], np.tile(numbers[selected], (size.queries, 1))], axis=1
            )
            order = np.argsort(-both, axis=1, kind="stable")[:, :NEAREST]
            best[name] = np.take_along_axis(both, order, axis=1)
            ids[name] = np.take_along_axis(known, order, axis=1)
    return ids


def _of_kind(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    split, score = numbers % 10, numbers % 100
    found: NDArray[np.bool_] = (numbers % CATEGORIES == 3) & (split != 0) & (score >= 50)  # noqa: PLR2004  # KIND
    return found


def _points(start: int, rows: Vectors) -> list[Point]:
    return [
        Point(
            PointId(str(UUID(int=number))),
            row,
            {
                "category": f"category-{number % CATEGORIES}",
                "split": "reference" if number % 10 == 0 else "haystack",
                "score": (number % 100) / 100,
            },
        )
        for number, row in enumerate(rows, start)
    ]


def fill(folder: Path, size: Size, quantization: Quantization) -> float:
    """Write all regions; the seconds that the store took."""
    return asyncio.run(_fill(folder, size, quantization))


async def _fill(folder: Path, size: Size, quantization: Quantization) -> float:
    store = EdgeVectorStore.open(folder, quantization)
    keywords, numbers = ("category", "split"), ("score",)
    await store.ensure("regions", size.dimension, keywords=keywords, numbers=numbers)
    built = 0.0
    for start, rows in chunks(size):
        points = _points(start, rows)
        started = time.perf_counter()
        await store.upsert("regions", points)
        built += time.perf_counter() - started
    await store.close()
    return built


def search(folder: Path, size: Size, wanted: dict[str, NDArray[np.int64]]) -> Searched:
    """Open what is filled, and ask."""
    return asyncio.run(_search(folder, size, wanted))


async def _search(folder: Path, size: Size, wanted: dict[str, NDArray[np.int64]]) -> Searched:
    store = EdgeVectorStore.open(folder)
    seconds, recall = {}, {}
    for name, where in WHERES.items():
        seconds[name], found = await _asked(store, queries_of(size), where)
        shares = [len({*f} & {*w}) for f, w in zip(found, wanted[name].tolist(), strict=True)]
        recall[name] = float(np.mean(shares)) / NEAREST
    own, files = _memory()
    await store.close()
    return Searched(own, files, seconds, recall)


async def _asked(
    store: EdgeVectorStore, queries: Vectors, where: Where
) -> tuple[NDArray[np.float64], list[list[int]]]:
    """Each query once, after one to warm up."""
    await store.nearest("regions", queries[0], where, NEAREST)
    seconds, found = [], []
    for query in queries:
        started = time.perf_counter()
        hits = await store.nearest("regions", query, where, NEAREST)
        seconds.append(time.perf_counter() - started)
        found.append([UUID(hit.point_id).int for hit in hits])
    return np.array(seconds), found


def _memory() -> tuple[int, int]:
    """MiB of our own and of files, as Linux counts what is resident."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, files = (int(lines[name].split()[0]) >> 10 for name in ("RssAnon", "RssFile"))
    return own, files


def _alone(work: Callable[..., _T], *args: object) -> _T:
    """Done in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def main() -> None:
    """Print the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--regions", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--only", choices=[quantization.value for quantization in Quantization])
    options = parser.parse_args()
    size = Size(options.regions, options.dimension, options.queries)
    wanted = exact(size)
    table = Table(title=f"{size.regions:,} regions of {size.dimension} dimensions")
    for heading in ("vectors", "build s", "own MiB", "file MiB", "disk MiB", "searched"):
        table.add_column(heading)
    for heading in ("median ms", "p99 ms", "recall@10"):
        table.add_column(heading, justify="right")
    for quantization in Quantization:
        if options.only not in (None, quantization.value):
            continue
        with tempfile.TemporaryDirectory() as folder:
            built = _alone(fill, Path(folder), size, quantization)
            held = _alone(search, Path(folder), size, wanted)
            disk = sum(file.stat().st_blocks * 512 for file in Path(folder).rglob("*")) >> 20
        facts = (f"{n:,}" for n in (round(built), held.own_mib, held.file_mib, disk))
        cells = [quantization.value, *facts]
        for name, seconds in held.seconds.items():
            middle, late = np.percentile(seconds * 1e3, (50, 99))
            table.add_row(*cells, name, f"{middle:.1f}", f"{late:.1f}", f"{held.recall[name]:.4f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
