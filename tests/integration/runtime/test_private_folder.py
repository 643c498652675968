"""A data folder is its owner's alone: by the modes of its files, and by mongod's password."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from services.app.parts import joined
from services.contracts.errors import MissingPart
from services.runtime.embedded.mongod import FOLDER, Mongod
from services.runtime.embedded.mongod_login import MongodLogin
from services.runtime.embedded.private_folder import as_the_user_writes, keep_private
from services.runtime.embedded.stack import EmbeddedStack
from services.runtime.settings import Settings
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.mongo import connected

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """What most accounts have: others may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The broker in memory, which starts sooner."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def readable_to_others(folder: Path) -> dict[str, str]:
    found = [folder, *folder.rglob("*")]
    modes = {str(path.relative_to(folder)): S_IMODE(path.lstat().st_mode) for path in found}
    return {name: oct(mode) for name, mode in modes.items() if mode & 0o077}


def client_of(mongod: Mongod, login: MongodLogin | None = None) -> MongoClient[dict[str, Any]]:
    known: dict[str, Any] = {}
    if login:
        known = {"username": "gazeloop", "password": login.password.get_secret_value()}
    return MongoClient(mongod.url, **known)


@pytest.mark.usefixtures("no_java")
async def test_nothing_in_a_data_folder_can_be_read_by_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    program = [sys.executable, "-m", "services.cli.main", "--data", str(data)]
    made = [*program, "tokens", "create", "vehicle:v1"]
    await asyncio.to_thread(subprocess.run, made, cwd=ROOT, check=True, umask=0o022)
    assert readable_to_others(data) == {}
    async with joined(Settings(data=data)) as app:
        app.stores.blobs.put(b"a picture")

        assert readable_to_others(data) == {}
        assert {path.name for path in data.iterdir()} >= {"blobs", "logs", "mongodb", "stack.json"}


def test_kafkas_files_are_its_owners_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with EmbeddedStack(Settings(data=data)) as addresses:
        assert not addresses.broker.in_memory
        assert readable_to_others(data) == {}


def test_what_an_older_version_left_readable_is_taken_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    blobs = data / "blobs" / "ab"
    blobs.mkdir(parents=True)
    (blobs / "picture").write_bytes(b"")
    (data / "script").write_text("")
    (data / "script").chmod(0o755)
    (outside := tmp_path / "elsewhere").write_text("")
    (data / "link").symlink_to(outside)

    keep_private(data)

    assert S_IMODE(data.stat().st_mode) == S_IMODE(blobs.stat().st_mode) == 0o700
    assert S_IMODE((blobs / "picture").stat().st_mode) == 0o600
    assert S_IMODE((data / "script").stat().st_mode) == 0o700
    assert S_IMODE(outside.stat().st_mode) == 0o644


def test_what_a_command_writes_for_its_user_has_the_users_mode(tmp_path: Path) -> None:
    keep_private(tmp_path / "data")

    with as_the_user_writes():
        (tmp_path / "export").mkdir()
    (tmp_path / "own").mkdir()

    assert S_IMODE((tmp_path / "own").stat().st_mode) == 0o700
    assert S_IMODE((tmp_path / "export").stat().st_mode) != 0o700


@pytest.mark.parametrize(("folder", "file"), [(0o755, 0o644), (0o750, 0o640), (0o700, 0o600)])
def test_a_blob_is_as_readable_as_its_folder(tmp_path: Path, folder: int, file: int) -> None:
    os.umask(0o777 & ~folder)

    uri = open_blobs((tmp_path / "blobs").as_uri()).put(b"a picture")

    (blob,) = (path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    assert uri.endswith(blob.name)
    assert S_IMODE(blob.stat().st_mode) == file


@pytest.mark.usefixtures("no_java")
async def test_whoever_has_no_password_is_not_let_in_to_the_embedded_mongod(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    with EmbeddedStack(settings) as addresses:
        with (
            MongoClient[dict[str, Any]](addresses.mongodb) as stranger,
            pytest.raises(OperationFailure) as refused,
        ):
            stranger["gazeloop"]["tokens"].find_one()
        async with connected(addresses.applied_to(settings)) as database:
            await database["tokens"].insert_one({"_id": "a"})
        written = (settings.data / "stack.json").read_text()
        password = (settings.data / FOLDER / "password").read_text()

    assert refused.value.code == 13
    assert password
    assert password not in written


def test_a_folder_of_an_older_version_gets_a_password_and_keeps_what_it_has(tmp_path: Path) -> None:
    with Mongod(tmp_path) as mongod, client_of(mongod) as client:
        client["gazeloop"]["numbers"].insert_one({"_id": 7})

    login = MongodLogin.of(tmp_path)
    for _ in range(2):  # the second start finds the user there
        with Mongod(tmp_path, login) as mongod, client_of(mongod, login) as client:
            assert client["gazeloop"]["numbers"].find_one() == {"_id": 7}
            with client_of(mongod) as stranger, pytest.raises(OperationFailure):
                stranger["gazeloop"]["numbers"].find_one()
    assert S_IMODE(login.file.stat().st_mode) == 0o600


def test_a_password_that_was_written_before_a_crash_is_used(tmp_path: Path) -> None:
    written = MongodLogin.of(tmp_path)

    with Mongod(tmp_path, MongodLogin.of(tmp_path)) as mongod, client_of(mongod, written) as client:
        client["gazeloop"]["numbers"].insert_one({"_id": 7})


def test_a_copy_of_a_folder_without_its_password_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (folder := tmp_path / "mongodb").mkdir()
    with Mongod(folder, MongodLogin.of(folder)):
        pass
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "password").unlink()

    with pytest.raises(MissingPart, match="put back the file that belongs to this data folder"):
        Mongod(copy, MongodLogin.of(copy))

    shutil.copy(folder / "password", copy / "password")
    with Mongod(copy, MongodLogin.of(copy)):
        pass
