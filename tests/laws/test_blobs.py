import hashlib
import shutil
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
from services.domain.ports.blob_uris import absolute_uri, place_of
from services.domain.ports.blobs import BlobStore
from services.runtime.stores.blobs_fsspec import FsspecBlobs, LazyBlobs, open_blobs
from tests.disks import mounted
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


def test_all_uris_are_listed_in_order(blobs: BlobStore) -> None:
    assert list(blobs.uris()) == []
    uris = {blobs.put(str(number).encode()) for number in range(5)}

    assert list(blobs.uris()) == sorted(uris)

    for uri in uris:
        blobs.delete(uri)
    assert list(blobs.uris()) == []


def test_a_uri_names_its_content(blobs: BlobStore) -> None:
    digest = hashlib.sha256(b"picture").hexdigest()

    assert blobs.put(b"picture") == f"blob:{digest[:2]}/{digest}"


@pytest.mark.parametrize(
    "root",
    [
        "file:///home/somebody/a%20b/blobs",
        "s3://former-bucket",
        "gs://bucket/of/others",
        "memory://x",
    ],
)
def test_a_uri_of_where_the_store_was_finds_the_blob_where_it_is(
    blobs: BlobStore, root: str
) -> None:
    blobs.put(b"picture")

    assert blobs.get(f"{root}/{place_of(b'picture')}") == b"picture"


def test_a_copied_or_moved_store_has_all_of_its_blobs(tmp_path: Path) -> None:
    uri = open_blobs(str(tmp_path / "first")).put(b"picture")

    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    (tmp_path / "first").rename(tmp_path / "moved")

    assert open_blobs(str(tmp_path / "copy")).get(uri) == b"picture"
    assert open_blobs((tmp_path / "moved").as_uri()).get(uri) == b"picture"


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_blobs_copied_to_another_bucket_are_found_there(
    request: pytest.FixtureRequest, kind: str
) -> None:
    bucket = request.getfixturevalue("s3_bucket") if kind == "s3" else "memory://"
    before, after = f"{bucket}/{uuid4()}", f"{bucket}/{uuid4()}"
    uri = open_blobs(before).put(b"picture")
    files, folder = fsspec.url_to_fs(before)

    _, target = fsspec.url_to_fs(after)
    files.makedirs(f"{target}/{uri[5:7]}", exist_ok=True)
    files.copy(f"{folder}/{uri[5:]}", f"{target}/{uri[5:]}")

    assert open_blobs(after).get(uri) == b"picture"
    assert open_blobs(after).get(f"{before}/{uri[5:]}") == b"picture"


def test_readers_elsewhere_are_told_where_a_blob_is_now() -> None:
    place = place_of(b"picture")
    for uri in (f"blob:{place}", f"file:///before/{place}"):
        assert absolute_uri(uri, "s3://bucket/b/") == f"s3://bucket/b/{place}"
        assert absolute_uri(uri, "/data/b c") == f"file:///data/b%20c/{place}"
    assert absolute_uri("https://elsewhere/a.jpg", "/data") == "https://elsewhere/a.jpg"


def test_a_blob_that_was_never_put_is_missing(blobs: BlobStore) -> None:
    with pytest.raises(MissingImage) as caught:
        blobs.get(f"blob:0f/0f{'0' * 62}")

    assert caught.value.reason == "missing_image"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/a",
        "memory://other/blobs/0/" + "0" * 64,
        "blob:{place}/../../../secret",
        "blob:/{place}",
        "other:{place}",
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
    blobs.put(b"picture")
    place = place_of(b"picture")
    foreign = uri.format(root="file:///before/blobs", place=place, digest=place[3:])

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


def test_a_folder_keeps_what_was_put_when_the_power_fails(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 20 << 20) as disk:
        if disk is None:
            pytest.skip("no disk can be mounted here")
        blobs = open_blobs((disk.path / "blobs").as_uri())
        uris = {blobs.put(str(number).encode()): str(number).encode() for number in range(20)}
        disk.cut_power()
        disk.unmount()
        disk.mount()

        assert {uri: blobs.get(uri) for uri in uris} == uris


def test_a_half_written_blob_is_written_again(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path))
    uri = blobs.put(b"picture")
    path = tmp_path / place_of(b"picture")
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


def test_a_deleted_blob_is_missing_and_others_stay(blobs: BlobStore) -> None:
    gone, kept = blobs.put(b"one"), blobs.put(b"two")

    blobs.delete(gone)
    blobs.delete(gone)

    with pytest.raises(MissingImage):
        blobs.get(gone)
    assert blobs.get(kept) == b"two"
    assert blobs.get(blobs.put(b"one")) == b"one"
