"""A collection of Qdrant Edge as files: created, read and opened."""

import re
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import orjson
import qdrant_edge as edge

from services.contracts.errors import DamagedVectors
from services.domain.ports.vectors import Quantization
from services.runtime.durability import sync

_DROPPED = ".dropped"
_OUT_OF_ROOM = re.compile(r"os error (12|23|24|28)\b")
"""Out of memory, open files or disk space, which damages nothing."""


def vector_config(path: Path) -> dict[str, Any]:
    """Edge's configuration of the vectors in a collection's folder.

    Raises
    ------
    DamagedVectors
        There is none, or it is unreadable.
    """
    file = path / "edge_config.json"
    try:
        vectors: dict[str, Any] = orjson.loads(file.read_bytes())["vectors"][""]
        int(vectors["size"])
    except (FileNotFoundError, KeyError, TypeError, ValueError) as exc:
        raise DamagedVectors(f"{file} cannot be read: {type(exc).__name__}: {exc}") from exc
    return vectors


def load_shard(path: Path) -> edge.EdgeShard:
    """Open the collection in a folder.

    Raises
    ------
    DamagedVectors
        The engine cannot read it, which it may also report by a panic.
    """
    try:
        return edge.EdgeShard.load(str(path))
    except BaseException as exc:
        passing = isinstance(exc, KeyboardInterrupt | SystemExit | MemoryError)
        if passing or _OUT_OF_ROOM.search(str(exc)):
            raise
        raise DamagedVectors(f"{path} cannot be read: {exc}") from exc


def create_collection(
    path: Path,
    dimension: int,
    quantization: Quantization,
    *,
    keywords: Sequence[str],
    numbers: Sequence[str],
) -> None:
    """Create a collection in a folder, with its payload indexes.

    A crash leaves the whole collection or none: the folder gets its name when it is complete.
    """
    fresh = path.with_name(f".{path.name}.new")
    rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    shard = edge.EdgeShard.create(str(fresh), _config(dimension, quantization))
    kinds = dict.fromkeys(keywords, edge.PayloadSchemaType.Keyword)
    kinds |= dict.fromkeys(numbers, edge.PayloadSchemaType.Float)
    for name, index_type in kinds.items():
        shard.update(edge.UpdateOperation.create_field_index(name, index_type))
    shard.flush()
    shard.close()
    fresh.rename(path)
    sync(path.parent)


def drop_collection(path: Path) -> None:
    """Delete a collection's folder, if it is there.

    A crash leaves the whole collection, or files that `finish_dropping` deletes.
    """
    gone = path.with_name(f".{path.name}{_DROPPED}")
    if path.exists():
        path.rename(gone)
        sync(path.parent)
    rmtree(gone, ignore_errors=True)


def finish_dropping(folder: Path) -> None:
    """Delete what dropped collections have left in Qdrant Edge's folder."""
    for gone in folder.glob(f".*{_DROPPED}"):
        rmtree(gone, ignore_errors=True)


def _config(dimension: int, quantization: Quantization) -> edge.EdgeConfig:
    if quantization is Quantization.NONE:
        params = edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)
        return edge.EdgeConfig(vectors=params)
    int8 = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, always_ram=True)
    params = edge.EdgeVectorParams(
        size=dimension, distance=edge.Distance.Cosine, on_disk=True, quantization_config=int8
    )
    # No graph: a scan over int8 vectors is exact except for rounding, and needs no building.
    return edge.EdgeConfig(
        vectors=params,
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=4, full_scan_threshold=10),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1000, default_segment_number=1),
    )
