import hashlib
import threading
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from services.contracts.errors import (
    InvalidSettings,
    MissingImage,
    MissingPart,
    StoreUnavailable,
)
from services.runtime.stores.blobs import BlobStore
from services.runtime.stores.blobs_fsspec import FsspecBlobs, LazyBlobs, open_blobs
from tests.fakes.blobs import InMemoryBlobs
from tests.ports import free_ports


@pytest.fixture(params=["in_memory", "folder", "memory_url", "renaming_url", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    match request.param:
        case "in_memory":
            return InMemoryBlobs()
        case "folder":
            return open_blobs((tmp_path / "a b%c" / "blobs").as_uri())
        case "s3":
            return open_blobs(f"{request.getfixturevalue('s3_bucket')}/{uuid4()}")
        case "memory_url":
            return open_blobs(f"memory://{uuid4()}/blobs")
        case _:
            files = fsspec.filesystem("file")
            return FsspecBlobs(files, str(tmp_path / "blobs"), "sftp://somewhere/blobs")


def test_what_was_put_comes_back(blobs: BlobStore) -> None:
    uris = [blobs.put(content) for content in (b"one", b"two", b"", bytes(100_000))]

    assert [blobs.get(uri) for uri in uris] == [b"one", b"two", b"", bytes(100_000)]


def test_the_same_bytes_are_one_blob(blobs: BlobStore) -> None:
    assert blobs.put(b"picture") == blobs.put(b"picture")


def test_a_uri_names_its_content(blobs: BlobStore) -> None:
    digest = hashlib.sha256(b"picture").hexdigest()

    assert blobs.put(b"picture").endswith(f"/{digest[:2]}/{digest}")


def test_a_blob_that_was_never_put_is_missing(blobs: BlobStore) -> None:
    root = blobs.put(b"picture")[:-67]

    with pytest.raises(MissingImage) as caught:
        blobs.get(f"{root}0f/0f{'0' * 62}")

    assert caught.value.reason == "missing_image"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/a",
        "memory://other/blobs/00/" + "0" * 64,
        "{root}/../../../etc/passwd",
        "{root}/00/../{place}",
        "{root}/{place}/../../../secret",
        "{root}/{place}?versionId=1",
        "{root}/00/{digest}",
        "{root}/{place}\n",
        "{root}{place}",
        "simplecache::{root}/{place}",
    ],
)
def test_no_uri_from_outside_is_opened(blobs: BlobStore, uri: str) -> None:
    known = blobs.put(b"picture")
    place = known[-67:]
    foreign = uri.format(root=known.removesuffix(f"/{place}"), place=place, digest=place[3:])

    with pytest.raises(MissingImage) as caught:
        blobs.get(foreign)

    assert caught.value.reason == "foreign_uri"


def test_threads_may_put_the_same_bytes_at_once(blobs: BlobStore) -> None:
    content = bytes(range(256)) * 4096
    uris: list[str] = []
    threads = [threading.Thread(target=lambda: uris.append(blobs.put(content))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(uris) == 8
    assert len(set(uris)) == 1
    assert blobs.get(uris[0]) == content


def test_a_folder_keeps_blobs_over_a_restart(tmp_path: Path) -> None:
    uri = open_blobs(str(tmp_path)).put(b"picture")

    assert open_blobs(tmp_path.as_uri()).get(uri) == b"picture"


def test_a_half_written_blob_is_written_again(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path))
    uri = blobs.put(b"picture")
    path = tmp_path / "/".join(uri.split("/")[-2:])
    path.write_bytes(b"pict")

    with pytest.raises(MissingImage, match="changed"):
        blobs.get(uri)
    blobs.put(b"picture")

    assert blobs.get(uri) == b"picture"


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path))
    for number in range(20):
        blobs.put(b"%d" % number)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert len(files) == 20
    assert not [path for path in files if path.name.startswith(".")]


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    blobs = open_blobs(str(tmp_path / "blobs"))

    with pytest.raises(StoreUnavailable):
        blobs.put(b"picture")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("oci://bucket/blobs", MissingPart),
        ("nonsense://bucket", InvalidSettings),
        ("simplecache::memory://a", InvalidSettings),
    ],
)
def test_a_url_that_cannot_work_says_so_at_once(url: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="GAZELOOP_BLOBS"):
        open_blobs(url)


def test_a_store_that_is_not_used_needs_no_package_of_its_own() -> None:
    blobs = LazyBlobs("oci://bucket/blobs")

    with pytest.raises(MissingPart, match="object-stores"):
        blobs.put(b"picture")


def test_an_object_store_that_does_not_answer_is_unavailable(s3_bucket: str) -> None:
    (port,) = free_ports(1)
    away = fsspec.filesystem(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        config_kwargs={"retries": {"max_attempts": 0}, "connect_timeout": 1},
    )
    away.retries = 1
    blobs = FsspecBlobs(away, s3_bucket.removeprefix("s3://"), s3_bucket)

    with pytest.raises(StoreUnavailable):
        blobs.put(b"picture")
