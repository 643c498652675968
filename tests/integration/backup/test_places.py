"""Every place of backups shows whole ones alone, and deletes what killed runs left."""

import errno
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from services.app.backup.backups import MANIFEST, BackupPlace
from services.app.backup.places import BackupBucket, BackupFolder, open_backups
from services.contracts.errors import DiskFull, InvalidSettings


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> BackupPlace:
    if request.param == "folder":
        return BackupFolder(tmp_path / "to")
    url = "memory:/" if request.param == "memory" else request.getfixturevalue("s3_bucket")
    return BackupBucket(f"{url}/{uuid4()}/to")


ONE, TWO, THREE = (f"2026050{number}T120000.000Z" for number in (1, 2, 3))


def _write(place: BackupPlace, name: str, *, finished: bool) -> None:
    with place.writing(name) as folder:
        (folder / "mongodb").mkdir()
        (folder / "mongodb" / "frames.bson").write_bytes(name.encode())
        (folder / MANIFEST).write_bytes(b"{}")
        if finished:
            place.finish(name, folder)


def test_a_backup_is_seen_once_it_is_finished_until_it_is_removed(place: BackupPlace) -> None:
    _write(place, ONE, finished=True)
    _write(place, TWO, finished=False)
    _write(place, THREE, finished=True)
    assert place.names() == [ONE, THREE]
    assert place.local(THREE, "mongodb/frames.bson").read_bytes() == THREE.encode()
    assert not place.local(THREE, "images.txt").exists()
    place.remove(ONE)
    assert place.names() == [THREE]
    assert not place.local(ONE, "mongodb/frames.bson").exists()


def test_what_others_keep_there_stays(place: BackupPlace) -> None:
    """`gazeloop backup /mnt` writes to /mnt/backups, where somebody may have other things."""
    with place.writing(ONE) as folder:
        (folder / "laptop.tar").write_bytes(b"x")
        place.finish("laptop", folder)
    _write(place, TWO, finished=True)
    assert place.local("laptop", "laptop.tar").read_bytes() == b"x"


def test_what_a_killed_removal_left_is_deleted_by_the_next_run(tmp_path: Path) -> None:
    place = BackupFolder(tmp_path)
    _write(place, ONE, finished=True)
    place.local(ONE, MANIFEST).unlink()
    _write(place, TWO, finished=True)
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [TWO]


def test_images_of_a_backup_that_is_being_written_are_not_pruned(tmp_path: Path) -> None:
    backups = open_backups(str(tmp_path))
    with backups.writing(datetime(2026, 5, 4, tzinfo=UTC)):
        uri = backups.images.put(b"of the new backup alone")
        with pytest.raises(InvalidSettings, match="another backup"):
            open_backups(str(tmp_path)).keep(1)
        assert list(backups.images.uris()) == [uri]


def test_an_upload_that_was_killed_is_no_backup_and_the_next_run_deletes_it(
    s3_bucket: str, tmp_path: Path
) -> None:
    place = BackupBucket(f"{s3_bucket}/{uuid4()}/to")
    (tmp_path / "images.txt").write_bytes(b"")
    place.finish(ONE, tmp_path)  # up to the manifest, which is last
    assert place.names() == []
    _write(place, TWO, finished=True)
    assert place.names() == [TWO]
    assert not place.local(ONE, "images.txt").exists()


def test_a_disk_that_is_too_small_for_what_is_downloaded_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = BackupBucket(f"memory://{uuid4()}/to")
    _write(place, ONE, finished=True)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MemoryFileSystem, "get_file", full)
    with pytest.raises(DiskFull, match=f"the disk of {tempfile.gettempdir()} .*is full"):
        place.local(ONE, MANIFEST)


def test_a_place_of_an_unknown_kind_is_refused_by_its_own_name() -> None:
    with pytest.raises(InvalidSettings, match=r"^backups to foo://x/y: Protocol not known"):
        open_backups("foo://x/y")
