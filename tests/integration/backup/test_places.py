"""Every place of backups shows whole ones alone, and deletes what killed runs left."""

from pathlib import Path
from uuid import uuid4

import pytest

from services.app.backup.backups import MANIFEST, BackupPlace
from services.app.backup.places import BackupBucket, BackupFolder, open_backups
from services.contracts.errors import InvalidSettings


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> BackupPlace:
    if request.param == "folder":
        return BackupFolder(tmp_path / "to")
    url = "memory:/" if request.param == "memory" else request.getfixturevalue("s3_bucket")
    return BackupBucket(f"{url}/{uuid4()}/to")


def _write(place: BackupPlace, name: str, *, finished: bool) -> None:
    with place.writing(name) as folder:
        (folder / "mongodb").mkdir()
        (folder / "mongodb" / "frames.bson").write_bytes(name.encode())
        (folder / MANIFEST).write_bytes(b"{}")
        if finished:
            place.finish(name, folder)


def test_a_backup_is_seen_once_it_is_finished_until_it_is_removed(place: BackupPlace) -> None:
    _write(place, "1", finished=True)
    _write(place, "2", finished=False)
    _write(place, "3", finished=True)
    assert place.names() == ["1", "3"]
    assert place.local("3", "mongodb/frames.bson").read_bytes() == b"3"
    assert not place.local("3", "images.txt").exists()
    place.remove("1")
    assert place.names() == ["3"]
    assert not place.local("1", "mongodb/frames.bson").exists()


def test_an_upload_that_was_killed_is_no_backup_and_the_next_run_deletes_it(
    s3_bucket: str, tmp_path: Path
) -> None:
    place = BackupBucket(f"{s3_bucket}/{uuid4()}/to")
    (tmp_path / "images.txt").write_bytes(b"")
    place.finish("1", tmp_path)  # up to the manifest, which is last
    assert place.names() == []
    _write(place, "2", finished=True)
    assert place.names() == ["2"]
    assert not place.local("1", "images.txt").exists()


def test_a_place_of_an_unknown_kind_is_refused_by_its_own_name() -> None:
    with pytest.raises(InvalidSettings, match=r"^backups to foo://x/y: Protocol not known"):
        open_backups("foo://x/y")
