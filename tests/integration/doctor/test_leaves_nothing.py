"""The doctor changes nothing, and looks at what the service whose user it has uses."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from pydantic import SecretStr

from services.app.doctor.blobs import look_at_blobs
from services.app.doctor.examining import examine
from services.contracts.errors import StoreUnavailable
from services.runtime.clock import SystemClock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.settings import Settings
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.blobs_probe import Access, probe_blobs
from services.runtime.stores.mongo import connected
from tests.integration.doctor.conftest import findings_of, settings_for


@pytest.fixture
def settings(kafka: BrokerAddress, mongodb_url: str, tmp_path: Path) -> Settings:
    name = f"doctor-{uuid4().hex[:8]}"
    blobs = (tmp_path / "blobs").as_uri()
    return settings_for(
        kafka, mongodb_url, tmp_path / "data", mongodb_database=name, blobs=blobs, qdrant_ca=None
    )


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder with one image, mounted read-only; only root may mount one."""
    folder = tmp_path / "blobs"
    open_blobs(str(folder)).put(b"picture")
    for options in (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]):
        done = subprocess.run(["mount", *options], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def everything_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_folder_is_probed_and_left_as_it_was(tmp_path: Path) -> None:
    open_blobs(str(tmp_path)).put(b"picture")
    before = everything_in(tmp_path)
    assert probe_blobs(tmp_path.as_uri()) is Access.WRITES
    assert everything_in(tmp_path) == before


def test_a_folder_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    assert probe_blobs((tmp_path / "a" / "b").as_uri()) is Access.WRITES
    assert everything_in(tmp_path) == set()


def test_a_file_where_the_folder_should_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("")
    with pytest.raises(StoreUnavailable):
        probe_blobs((tmp_path / "blobs").as_uri())


def test_a_bucket_is_probed_and_left_as_it_was(s3_bucket: str) -> None:
    url = f"{s3_bucket}/{uuid4()}"
    assert probe_blobs(url) is Access.WRITES
    files, root = fsspec.url_to_fs(url, use_listings_cache=False)
    assert files.find(root) == []


async def test_nothing_of_the_doctor_stays(settings: Settings, tmp_path: Path) -> None:
    before = everything_in(tmp_path)
    found = await examine(settings, SystemClock(), model=False)
    assert "can be written" in findings_of(found, "mongodb")
    assert "can be written and read" in findings_of(found, "blobs")
    assert everything_in(tmp_path) == before
    async with connected(settings) as database:
        assert await database.list_collection_names() == []


async def test_a_mount_that_is_read_only_is_fine_for_all_but_ingest(
    settings: Settings, read_only: Path
) -> None:
    for user, level in (("gazeloop-embedder", "ok"), ("", "ok"), ("gazeloop-ingest", "error")):
        # Kafka's user: MongoDB knows none here, and this part does not ask Kafka.
        known = settings.model_copy(update={"kafka_user": user, "blobs": read_only.as_uri()})
        found = await look_at_blobs(known)
        assert findings_of(found, "blobs").startswith(
            f"{level}: {read_only.as_uri()} is mounted"
        ), user


@pytest.mark.parametrize(
    ("user", "parts"),
    [
        ("gazeloop-fp-miner", {"kafka", "mongodb"}),
        ("gazeloop-ingest", {"kafka", "mongodb", "blobs"}),
        ("gazeloop-embedder", {"kafka", "mongodb", "blobs", "vectors"}),
        ("gazeloop-operator", {"kafka", "mongodb", "blobs", "vectors"}),
    ],
)
async def test_a_service_is_asked_about_what_it_uses(
    settings: Settings, user: str, parts: set[str]
) -> None:
    # MongoDB here knows no users and Qdrant is away: both are errors, of a part that was looked at.
    given = {"mongodb_user": user, "mongodb_password": SecretStr("any")}
    given |= {"qdrant": "http://127.0.0.1:1"}
    found = await examine(settings.model_copy(update=given), SystemClock(), model=False)
    assert {finding.part for finding in found} == parts
