"""A data folder goes on with the embedder that made its live vectors."""

from pathlib import Path

import pytest

from services.cli.context import Context
from services.contracts.errors import InvalidSettings
from services.contracts.identity import ModelId
from services.domain.ports.vectors import FRAME_VECTORS, REGION_VECTORS, collection_of
from services.runtime.embedded.embedders import note_embedder
from services.runtime.settings import Settings
from services.runtime.stores.vectors_edge_names import EDGE_FOLDER, EdgeNames

_WEIGHTS = Path("large.pth").resolve()
_INT8 = Path("small.int8").resolve()
SMALL, LARGE = ModelId("small-1"), ModelId("large-1")


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Two models' vectors; the small one's are live."""
    note_embedder(Settings(data=tmp_path, embedder="gazeloop-small"), SMALL)
    large = Settings(
        data=tmp_path, embedder="resnet18", weights=Path("large.pth"), region_encoder="roi"
    )
    note_embedder(large, LARGE)
    await _go_live(tmp_path, SMALL)
    return tmp_path


async def _go_live(folder: Path, model: ModelId) -> None:
    names = EdgeNames(folder / EDGE_FOLDER)
    await names.alias(
        {alias: collection_of(alias, model) for alias in (FRAME_VECTORS, REGION_VECTORS)}
    )


async def test_the_live_models_embedder_is_taken_where_none_is_named(folder: Path) -> None:
    assert Context(data=folder).settings().embedder == "gazeloop-small"


async def test_it_comes_before_what_a_command_would_take(folder: Path) -> None:
    await _go_live(folder, LARGE)
    assert Context().settings(data=folder, embedder="gazeloop-small").embedder == "resnet18"


async def test_after_a_change_of_the_model_its_weights_and_regions_come_along(folder: Path) -> None:
    await _go_live(folder, LARGE)
    now = Context(data=folder).settings()
    assert (now.embedder, now.region_encoder) == ("resnet18", "roi")
    assert now.weights == _WEIGHTS


async def test_so_does_the_file_of_an_8_bit_network(folder: Path) -> None:
    small = Settings(data=folder, embed_precision="int8", embed_int8=Path(_INT8.name))
    note_embedder(small, SMALL)
    now = Context(data=folder).settings()
    assert (now.embed_precision, now.embed_int8) == ("int8", _INT8)


async def test_an_embedder_that_is_named_takes_nothing_of_the_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _go_live(folder, LARGE)
    monkeypatch.setenv("GAZELOOP_EMBEDDER", "squeezenet1_0")
    now = Context(data=folder).settings()
    assert (now.embedder, now.weights) == ("squeezenet1_0", None)
    assert now.region_encoder == "crop"


async def test_one_setting_may_differ_from_the_folders(folder: Path) -> None:
    now = Context(data=folder, overrides={"pooling": "gem"}).settings()
    assert (now.embedder, now.pooling) == ("gazeloop-small", "gem")


async def test_a_folder_without_a_note_has_the_default(tmp_path: Path) -> None:
    await _go_live(tmp_path, SMALL)
    assert Context(data=tmp_path).settings().embedder == Settings().embedder


async def test_with_a_server_nothing_is_remembered(folder: Path) -> None:
    given = {"qdrant": "http://localhost:6333"}
    assert Context(data=folder, overrides=given).settings().embedder == Settings().embedder


async def test_a_note_that_cannot_be_read_says_what_to_do(folder: Path) -> None:
    (folder / "embedders.json").write_text("{")
    with pytest.raises(InvalidSettings, match=r"embedders\.json cannot be read; move it away"):
        Context(data=folder).settings()


async def test_vectors_that_are_gone_are_made_again_as_they_were(tmp_path: Path) -> None:
    note_embedder(Settings(data=tmp_path, embedder="gazeloop-small"), SMALL)
    assert Context(data=tmp_path).settings().embedder == "gazeloop-small"
