"""A data folder goes on with the split by which its frames were matched."""

from pathlib import Path

import pytest

from services.cli.context import Context
from services.contracts.errors import InvalidSettings
from services.runtime.embedded.split import note_split
from services.runtime.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    note_split(Settings(data=tmp_path, reference_share=0.5, split_seed=7, split_by="frame"))
    return tmp_path


def test_commands_that_name_no_split_take_the_folders(folder: Path) -> None:
    now = Context(data=folder).settings()
    assert (now.reference_share, now.split_seed, now.split_by) == (0.5, 7, "frame")


def test_it_comes_before_what_a_command_would_take(folder: Path) -> None:
    assert Context().settings(data=folder, reference_share=0.2).reference_share == 0.5


def test_what_is_named_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAZELOOP_REFERENCE_SHARE", "0.3")
    now = Context(data=folder, overrides={"split_seed": "1"}).settings()
    assert (now.reference_share, now.split_seed, now.split_by) == (0.3, 1, "frame")


def test_a_cluster_has_the_split_of_its_services(folder: Path) -> None:
    cluster = {"qdrant": "http://localhost:6333"}
    note_split(Settings(data=folder, reference_share=0.2, qdrant="http://localhost:6333"))
    assert Context(data=folder).settings().reference_share == 0.5
    assert Context(data=folder, overrides=cluster).settings().reference_share == 0.1


def test_a_process_without_a_data_folder_makes_none(tmp_path: Path) -> None:
    note_split(Settings(data=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_a_note_that_cannot_be_read_says_what_to_do(folder: Path) -> None:
    (folder / "split.json").write_text("{")
    with pytest.raises(InvalidSettings, match=r"split\.json cannot be read; move it away"):
        Context(data=folder).settings()
