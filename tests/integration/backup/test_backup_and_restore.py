"""Backups of real stores, restored to other ones. Services run in tests/e2e/test_backup.py."""

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from services.annotation.stores.annotation_tasks_mongo import MongoAnnotationTasks
from services.app.backup.making import back_up
from services.app.backup.places import open_backups
from services.app.backup.verifying import verify
from services.app.doctor.finding import Level
from services.app.doctor.mongodb import look_at_mongodb
from services.app.erasure.choosing import FrameChoice
from services.app.erasure.erasers import eraser_alone
from services.app.erasure.opening import Erasure
from services.app.parts import joined
from services.contracts.errors import (
    DamagedBackup,
    DiskFull,
    InvalidSettings,
    NoBackup,
    UnfinishedRestore,
)
from services.contracts.identity import FrameId, frame_hash
from services.domain.ports.blobs import BlobStore
from services.runtime.clock import SystemClock
from services.runtime.http import tokens as bearer_tokens
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.settings import Settings
from services.runtime.stores import mongo_dump
from services.runtime.stores.blobs_fsspec import open_blobs
from services.runtime.stores.bson_files import BsonWriter
from services.runtime.stores.mongo import connected
from services.runtime.stores.vector_snapshots import Snapshot
from services.runtime.stores.vectors_open import open_vector_store
from tests.integration.backup.deployment import (
    COLLECTION,
    SECRET,
    backed_up,
    contents,
    fill,
    restored,
    settings_of,
)
from tests.mongo_profile import profiled

NAMING = ["frames", "pictures", "predictions", "revisions", "vectors"]
"""What names a frame in these stores."""
Made = Callable[..., Settings]


@pytest.fixture
def frames() -> list[str]:
    """Frames of this test alone: the broker is shared, and so are the erasures in its log."""
    drive = uuid4().hex[:8]
    return [f"{drive}:{number}" for number in (1, 2, 12)]


@pytest.fixture
async def made(
    mongodb_url: str, memory_broker: BrokerAddress, tmp_path: Path
) -> AsyncIterator[Made]:
    """Makes settings of deployments, each with a database and a data folder of its own."""
    every: list[Settings] = []

    def make(broker: BrokerAddress = memory_broker, **more: object) -> Settings:
        every.append(settings_of(tmp_path / uuid4().hex[:8], mongodb_url, broker, more))
        return every[-1]

    yield make
    for settings in every:
        async with connected(settings) as database:
            await database.client.drop_database(database.name)


async def test_everything_comes_back_in_another_place(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, there = made(), made(blobs=f"memory://{uuid4()}/images")
    await fill(here, frames)
    noted = {"embedders.json": "{}", "split.json": '{"reference_share": 0.5}'}
    for name, content in noted.items():
        (here.data / name).write_text(content)

    await backed_up(here, tmp_path / "to")
    done = await restored(there, tmp_path / "to")

    before, after = await contents(here), await contents(there)
    assert before.naming(frames[2]) == NAMING
    assert after == before
    assert {name: (there.data / name).read_text() for name in noted} == noted
    assert set(done.manifest.differing(there)) == set()


async def test_backups_behind_a_url_are_kept_verified_restored_and_pruned(
    made: Made, frames: list[str]
) -> None:
    to = f"memory://{uuid4()}/backups"
    here, there = made(), made()
    await fill(here, frames)
    older = await backed_up(here, to)
    backups = open_backups(to)
    backups.images.put(b"an image of a run that was killed")
    newer = await backed_up(here, to)

    assert backups.names() == [older.name, newer.name]
    assert (await verify(backups)).damaged == []
    assert backups.keep(1) == 1
    await restored(there, to)
    assert await contents(there) == await contents(here)
    with pytest.raises(NoBackup):
        open_backups(to).manifest(older.name)


class _Server:
    """A Qdrant server's snapshots."""

    def __init__(self) -> None:
        self.of = "1.15.3"
        self.restored: dict[str, bytes] = {}

    @asynccontextmanager
    async def opened(self, _: Settings) -> AsyncIterator["_Server"]:
        yield self

    async def version(self) -> str:
        return self.of

    async def save(self, collection: str, path: Path) -> Snapshot:
        content = f"snapshot of {collection}".encode()
        await asyncio.to_thread(path.write_bytes, content)
        return Snapshot(hashlib.sha256(content).hexdigest(), len(content))

    async def restore(self, collection: str, path: Path) -> None:
        self.restored[collection] = await asyncio.to_thread(path.read_bytes)


async def test_snapshots_go_back_to_a_server_of_the_same_version_alone(
    made: Made, frames: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, server = made(), made(), _Server()
    for module in ("making", "restoring"):
        monkeypatch.setattr(f"services.app.backup.{module}.snapshots_of", server.opened)
    await fill(here, frames)
    await backed_up(here, tmp_path / "to", snapshots=True)

    server.of = "1.16.0"
    with pytest.raises(InvalidSettings, match=r"snapshots of Qdrant 1\.15\.3"):
        await restored(there, tmp_path / "to")
    assert "frames" not in (await contents(there)).documents
    server.of = "1.15.9"
    await restored(there, tmp_path / "to")

    assert server.restored == {COLLECTION: f"snapshot of {COLLECTION}".encode()}
    assert (await contents(there)).documents == (await contents(here)).documents


async def test_no_secret_is_in_a_backup(made: Made, frames: list[str], tmp_path: Path) -> None:
    here = made(label_studio_token=SECRET, epoch_s=7.0)
    await fill(here, frames)

    manifest = await backed_up(here, tmp_path / "to")

    assert manifest.settings["epoch_s"] == "7.0"
    files = [path for path in (tmp_path / "to").rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


class _NotingReads:
    """A blob store that notes which images are read."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.read: list[str] = []
        self.put, self.delete, self.uris = blobs.put, blobs.delete, blobs.uris

    def get(self, uri: str) -> bytes:
        self.read.append(uri)
        return self._blobs.get(uri)


async def test_a_second_backup_copies_only_new_images(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, folder = made(), open_backups(str(tmp_path / "to"))
    await fill(here, frames[:2])
    first = await backed_up(here, tmp_path / "to")
    await fill(here, frames[2:])

    async with joined(here) as app:
        noting = _NotingReads(app.stores.blobs)
        noted = replace(app, stores=replace(app.stores, blobs=noting))
        second = await back_up(noted, folder, SystemClock(), lambda _: None)

    assert len(noting.read) == 1
    assert (first.images, second.images) == (2, 3)
    assert folder.names() == [first.name, second.name]


async def test_old_backups_and_the_images_that_only_they_have_are_deleted(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, folder = made(), open_backups(str(tmp_path / "to"))
    await fill(here, frames)
    await backed_up(here, tmp_path / "to")
    await _erase(here, frames[1])
    newest = await backed_up(here, tmp_path / "to")

    assert folder.keep(1) == 1

    assert folder.names() == [newest.name]
    assert list(folder.images.uris()) == list(folder.image_uris(newest))
    assert (await verify(folder)).damaged == []


async def test_a_changed_file_and_a_changed_image_are_found(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, folder = made(), open_backups(str(tmp_path / "to"))
    await fill(here, frames)
    manifest = await backed_up(here, tmp_path / "to")
    uri = next(folder.image_uris(manifest))
    (tmp_path / "to" / "images" / uri.removeprefix("blob:")).write_bytes(b"another")

    assert (await verify(folder)).damaged == [uri]

    folder.file(manifest, "mongodb/frames.bson").write_bytes(b"")
    with pytest.raises(DamagedBackup, match=r"frames\.bson"):
        await verify(folder)
    with pytest.raises(DamagedBackup, match=r"frames\.bson"):
        await restored(made(), tmp_path / "to")


async def test_a_damaged_image_stops_no_restore_and_is_copied_again_on_request(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, there, folder = made(), made(), open_backups(str(tmp_path / "to"))
    await fill(here, frames)
    manifest = await backed_up(here, tmp_path / "to")
    uri = next(folder.image_uris(manifest))
    path = tmp_path / "to" / "images" / uri.removeprefix("blob:")
    path.write_bytes(path.read_bytes()[::-1])  # of the same size

    done = await restored(there, tmp_path / "to")

    before, after = await contents(here), await contents(there)
    assert done.lost_images == [uri]
    assert after == replace(before, images=[kept for kept in before.images if kept != uri])

    await backed_up(here, tmp_path / "to")
    assert (await verify(folder, manifest.name)).damaged == [uri]
    await backed_up(here, tmp_path / "to", repair=True)
    assert (await verify(folder, manifest.name)).damaged == []


async def test_an_interrupted_run_leaves_no_backup_and_the_next_one_goes_on(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, folder = made(), open_backups(str(tmp_path / "to"))
    await fill(here, frames)

    def interrupt(at: str) -> None:
        if at == "images":
            raise asyncio.CancelledError

    async with joined(here) as app:
        with pytest.raises(asyncio.CancelledError):
            await back_up(app, folder, SystemClock(), interrupt)
    with pytest.raises(NoBackup):
        folder.manifest()
    await backed_up(here, tmp_path / "to")

    assert len(list((tmp_path / "to" / "backups").iterdir())) == 1
    assert (await verify(folder)).damaged == []


async def test_what_a_killed_run_left_is_no_backup(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, folder = made(), open_backups(str(tmp_path / "to"))
    await fill(here, frames)
    left = tmp_path / "to" / "backups" / ".unfinished-20260504T100000.000Z"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{}")

    assert folder.names() == []
    await backed_up(here, tmp_path / "to")
    assert not left.exists()


@pytest.mark.parametrize("place", ["folder", "memory"])
async def test_a_full_disk_is_named_and_the_backup_can_be_repeated(
    made: Made, frames: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    here, folder = made(), str(tmp_path / "to")
    to, disk = (
        (folder, folder) if place == "folder" else (f"memory://{uuid4()}/to", tempfile.gettempdir())
    )
    await fill(here, frames)

    def full(_: BsonWriter, __: Sequence[object]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(BsonWriter, "write", full)
        with pytest.raises(DiskFull, match=f"the disk of {disk} .*is full"):
            await backed_up(here, to)
    assert open_backups(to).names() == []

    await backed_up(here, to)
    assert (await verify(open_backups(to))).damaged == []


async def test_a_missing_image_is_named_and_the_others_are_kept(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here = made()
    await fill(here, frames)
    blobs = open_blobs(here.blob_url)
    damaged, *_ = blobs.uris()
    (here.data / "blobs" / damaged.removeprefix("blob:")).write_bytes(b"another")

    manifest = await backed_up(here, tmp_path / "to")

    assert manifest.unreadable_images == [damaged.rpartition("/")[2]]
    assert manifest.images == 2


async def _erase(settings: Settings, frame_id: str) -> None:
    """Erase a frame as where no service runs."""
    vectors = open_vector_store(settings)
    async with joined(settings) as app:
        eraser = eraser_alone(app.stores, app.outbox, vectors, app.settings, SystemClock())
        erasure = Erasure(app, eraser, ())
        choice = FrameChoice([FrameId(frame_id)])
        await erasure.erase(choice, choice.frames, "ada", "request 17", SystemClock().now())
    await vectors.close()


async def test_only_empty_stores_are_restored_to(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, there = made(), made()
    await fill(here, frames)
    await fill(there, ["v9:1"])
    await backed_up(here, tmp_path / "to")
    before = await contents(there)

    with pytest.raises(InvalidSettings, match="is not empty"):
        await restored(there, tmp_path / "to")

    assert await contents(there) == before


async def test_vectors_are_not_restored_among_others(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, there = made(), made()
    await fill(here, frames)
    await fill(there, ["v9:1"])
    async with connected(there) as database:
        await database.client.drop_database(database.name)
    await backed_up(here, tmp_path / "to")
    before = await contents(there)

    with pytest.raises(InvalidSettings, match=f"the vectors are not empty .{COLLECTION}."):
        await restored(there, tmp_path / "to")

    assert (await contents(there)).vectors == before.vectors


async def test_an_interrupted_restore_keeps_services_out_and_goes_on(
    made: Made, frames: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = made(), made()
    await fill(here, frames)
    await backed_up(here, tmp_path / "to")

    async def interrupted(*_: object, **__: object) -> int:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("services.app.backup.restoring.Restoring._erase_again", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await restored(there, tmp_path / "to")
    # A backup of a part would count as whole.
    with pytest.raises(UnfinishedRestore):
        await backed_up(there, tmp_path / "to")
    found = await look_at_mongodb(there, SystemClock())
    assert any("restored in part" in item.what for item in found if item.level is Level.ERROR)

    await restored(there, tmp_path / "to")

    assert await contents(there) == await contents(here)
    await backed_up(there, tmp_path / "to")


async def test_stores_stay_as_they_were_if_the_broker_refuses_the_offsets(
    made: Made,
    frames: list[str],
    kafka: BrokerAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = made(kafka), made(kafka)
    await fill(here, frames)
    await backed_up(here, tmp_path / "to")

    def refused(*_: object) -> None:
        raise InvalidSettings("Kafka denies this")

    with monkeypatch.context() as patch:
        patch.setattr("services.app.backup.restoring.set_offsets", refused)
        with pytest.raises(InvalidSettings, match="Kafka denies this"):
            await restored(there, tmp_path / "to")

    await backed_up(there, tmp_path / "empty")  # services start too


async def test_an_older_backup_does_not_bring_erased_frames_back(
    made: Made, frames: list[str], tmp_path: Path
) -> None:
    here, there = made(), made()
    await fill(here, frames)
    older = await backed_up(here, tmp_path / "to")
    await _erase(here, frames[1])
    await backed_up(here, tmp_path / "to")

    done = await restored(there, tmp_path / "to", older.name)

    after = await contents(there)
    assert done.erased == 1
    assert after.naming(frames[1]) == []
    assert after.naming(frames[2]) == NAMING
    assert list(after.documents["tombstones"]) == [frame_hash(FrameId(frames[1]))]
    assert len(after.documents["audit"]) == 1
    assert len(after.images) == 2


async def test_an_older_backup_does_not_make_revoked_tokens_valid(
    made: Made, tmp_path: Path
) -> None:
    here, there, now = made(), made(), SystemClock().now()
    async with joined(here) as app:
        secrets = [
            await bearer_tokens.create(app.stores.tokens, f"vehicle:v{number}", now)
            for number in range(3)
        ]
        leaked, rotated, kept = map(bearer_tokens.id_of, secrets)
        older = await backed_up(here, tmp_path / "to")
        await app.stores.tokens.revoke(leaked, now)
        await app.stores.tokens.revoke(rotated, now + timedelta(hours=1))
        await backed_up(here, tmp_path / "to")
        revoked = {token.token_id: token.revoked_at for token in await app.stores.tokens.list()}

    done = await restored(there, tmp_path / "to", older.name)

    async with joined(there) as app:
        after = {token.token_id: token.revoked_at for token in await app.stores.tokens.list()}
    assert after == revoked
    assert after[kept] is None
    assert done.valid_tokens == 2


async def test_links_to_images_end_with_the_key_that_no_backup_has(
    made: Made, tmp_path: Path
) -> None:
    here, there, frame_id = made(), made(), FrameId("v1:1")
    async with connected(here) as database:
        until = SystemClock().now() + timedelta(days=30)
        await MongoAnnotationTasks(database).note(frame_id, link_until=until)
    await backed_up(here, tmp_path / "to")
    await restored(there, tmp_path / "to")
    async with connected(there) as database:
        record = (await MongoAnnotationTasks(database).of_frames([frame_id]))[frame_id]
    assert record.link_until
    assert record.link_until < SystemClock().now()


async def test_a_restore_that_goes_on_deletes_what_it_had_restored_in_steps(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_dump, "_DELETED_AT_ONCE", 3)
    async with connected(made()) as database:
        await database["frames"].insert_many([{"_id": number} for number in range(7)])
        await mongo_dump.dump(database, "frames", tmp_path / "frames", None)
        async with profiled(database, "frames") as queries:
            await mongo_dump.load(database, "frames", tmp_path / "frames")
        assert [query["ndeleted"] for query in queries if query["op"] == "remove"] == [3, 3, 1]
        assert await database["frames"].count_documents({}) == 7


async def test_services_go_on_from_the_cut_and_frames_erased_since_stay_erased(
    made: Made, frames: list[str], kafka: BrokerAddress, tmp_path: Path
) -> None:
    here, there = made(kafka), made(kafka)
    await fill(here, frames)
    manifest = await backed_up(here, tmp_path / "to")
    await _erase(here, frames[1])  # no later backup knows; the broker's log does

    done = await restored(there, tmp_path / "to")

    assert done.goes_on
    assert done.erased == 1
    assert (await contents(there)).naming(frames[1]) == []
    groups = {group: list(topics) for group, topics in manifest.cut.offsets.items()}
    with LagReader(kafka, there) as reader:
        positions = await asyncio.to_thread(reader.positions, groups)
    assert {
        group: {partition: at.committed for partition, at in reached.items()}
        for group, reached in positions.items()
    } == manifest.cut.partitions()
