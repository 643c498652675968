"""Damaged files of Qdrant Edge are named as such, with what to run; never a TypeError."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.app.remedies import remedy_of
from services.contracts.errors import DamagedVectors
from services.contracts.identity import PointId
from services.domain.ports.vectors import Point, Where
from services.runtime.stores.vectors_edge import EdgeVectorStore

IDS = [PointId(f"00000000-0000-0000-0000-00000000000{number}") for number in range(3)]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    store = EdgeVectorStore.open(tmp_path)
    await store.ensure("regions", 4, keywords=("split",), numbers=("score",))
    vectors = np.eye(4, dtype=np.float32)[:3]
    points = [Point(point, vector, {}) for point, vector in zip(IDS, vectors, strict=True)]
    await store.upsert("regions", points)
    await store.alias({"live": "regions"})
    await store.close()
    # Closed and opened again, all is in segments, and the log is not needed.
    return tmp_path


def config_cut(folder: Path) -> None:
    (folder / "regions" / "edge_config.json").write_text("{")


def config_of_nothing(folder: Path) -> None:
    (folder / "regions" / "edge_config.json").write_text("[]")


def segments_cut(folder: Path) -> None:
    for path in (folder / "regions" / "segments").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])


def aliases_of_nothing(folder: Path) -> None:
    (folder / "aliases.json").write_text("null")


def aliases_cut(folder: Path) -> None:
    (folder / "aliases.json").write_text('{"live": ')


@pytest.mark.parametrize(
    "damage", [config_cut, config_of_nothing, segments_cut, aliases_of_nothing, aliases_cut]
)
async def test_damaged_files_are_named_with_what_to_run(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    store = EdgeVectorStore.open(folder)
    try:
        with pytest.raises(DamagedVectors) as caught:
            await _read_all(store)
    finally:
        await store.close()
    assert str(folder) in str(caught.value)
    assert "gazeloop models fill" in remedy_of(caught.value)


async def test_points_without_their_vectors_count_as_missing(folder: Path) -> None:
    for segment in (folder / "regions" / "segments").iterdir():
        shutil.rmtree(segment / "vector_storage")
    store = EdgeVectorStore.open(folder)
    try:
        loaded = await store.load("live", IDS)
    finally:
        await store.close()
    assert not loaded


async def _read_all(store: EdgeVectorStore) -> None:
    await store.aliases()
    await store.dimension("live")
    await store.load("live", IDS)
    await store.nearest("live", np.ones(4, np.float32), Where(), 3)
