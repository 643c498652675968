"""Restores a backup into empty stores, on any machine."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from services.annotation.stores.annotation_tasks_mongo import MongoAnnotationTasks
from services.app.backup.backups import Backups
from services.app.backup.images import copy_images
from services.app.backup.manifest import NOTED_SETTINGS, Manifest, indexed_fields
from services.app.erasure.erasers import eraser_alone
from services.app.parts import App, joined
from services.contracts.codec import decode
from services.contracts.erasures import FrameErased
from services.contracts.errors import Invalid, InvalidSettings, StoresFromLater, StoresNotMigrated
from services.contracts.identity import FrameHash, FrameId, frame_hash
from services.contracts.topics import FRAMES
from services.domain.ports.erasure import ErasureRequest
from services.domain.ports.vectors import VectorStore, Where
from services.runtime.clock import Clock
from services.runtime.durability import replace_file
from services.runtime.embedded import stack
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.group_offsets import set_offsets
from services.runtime.kafka.topic_admin import broker_identity
from services.runtime.kafka.topic_reading import values
from services.runtime.settings import Settings
from services.runtime.stores.mongo import translated
from services.runtime.stores.mongo_dump import add_missing, collections_to_keep, load
from services.runtime.stores.restore_mark import mark_restore, restore_under_way, unmark_restore
from services.runtime.stores.store_version import STORE_VERSION
from services.runtime.stores.tokens_mongo import TOKENS, revoke_as_in
from services.runtime.stores.tombstones_mongo import TOMBSTONES
from services.runtime.stores.vector_files import load_points
from services.runtime.stores.vector_snapshots import same_minor, snapshots_of
from services.runtime.stores.vectors_open import open_vector_store

_APPENDED: Final = (TOMBSTONES, "audit")
"""Collections that later backups complete: nothing that was erased or noted is undone."""
_OF_OPENING: Final = frozenset({"schemas"})
"""Collections in which opening the stores writes."""

OnStage = Callable[[str], None]


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes
    ----------
    goes_on : whether this broker has the log that the backup's offsets are of
    erased : restored frames that had been erased since, and so were erased again
    lost_images : URIs of images that the backup lacks or has damaged; all else was restored
    valid_tokens : number of tokens that are not revoked, by all that the backups of the place have
    """

    manifest: Manifest
    goes_on: bool
    erased: int
    lost_images: list[str]
    valid_tokens: int


@asynccontextmanager
async def restoring(settings: Settings) -> AsyncIterator["Restoring"]:
    """Open the stores that a backup is to be restored to, while no service uses them.

    Raises
    ------
    InvalidSettings
        `gazeloop up` runs on the data folder, or another process has its vectors open.
    Transient
        A store or the broker does not answer.
    """
    if await asyncio.to_thread(stack.running, settings) is not None:
        raise InvalidSettings(f"`gazeloop up` runs on {settings.data}: stop it first")
    vectors = open_vector_store(settings)
    try:
        async with joined(settings, restoring=True) as app:
            yield Restoring(app, vectors)
    finally:
        await vectors.close()


@dataclass(frozen=True)
class Restoring:
    """Opened stores, and how a backup gets into them."""

    app: App
    vectors: VectorStore

    async def restore(
        self, folder: Backups, manifest: Manifest, clock: Clock, on_stage: OnStage
    ) -> Restored:
        """Restore a backup; after an interruption, the same call continues.

        Raises
        ------
        InvalidSettings
            The stores are not empty, or a service runs.
        DamagedBackup
            A file of the backup is missing or was changed.
        StoresNotMigrated, StoresFromLater
            The backup is of another version of the stores.
        Transient
            A store or the broker does not answer.
        """
        database = self.app.stores.database
        _refuse_other_version(manifest)
        on_stage("checking the backup's files")
        await asyncio.to_thread(folder.check_files, manifest)
        await self._refuse_others(manifest)
        await self._refuse_snapshots(manifest)
        # First, because the broker can refuse it: nothing else has been changed then.
        goes_on = await asyncio.to_thread(self._go_on, manifest)
        await mark_restore(database, manifest.name)
        on_stage("images")
        lost = await self._put_images(folder, manifest)
        on_stage("vectors")
        await self._put_vectors(folder, manifest)
        on_stage("documents")
        for name, path in manifest.collections.items():
            await load(database, name, folder.file(manifest, path))
        # No backup has the key that signs them.
        await MongoAnnotationTasks(database).end_links(clock.now())
        await asyncio.to_thread(self._put_noted_settings, folder, manifest)
        on_stage("erased frames")
        await self._complete(folder, manifest)
        erased = await self._erase_again(manifest, clock, goes_on=goes_on)
        tokens = await self.app.stores.tokens.list()
        valid = sum(token.is_valid(clock.now()) for token in tokens)
        await unmark_restore(database)
        return Restored(manifest, goes_on, erased, lost, valid)

    async def _refuse_others(self, manifest: Manifest) -> None:
        """Refuse stores that hold anything but a part of this very backup."""
        database = self.app.stores.database
        under_way = await restore_under_way(database)
        if under_way == manifest.name:
            return
        if under_way is not None:
            raise InvalidSettings(
                f"the backup {under_way} is restored in part: finish it with `--backup"
                f" {under_way}`, or empty the stores"
            )
        for name in await collections_to_keep(database):
            with translated():
                held = name not in _OF_OPENING and await database[name].find_one({}, {"_id": 1})
            if held:
                raise InvalidSettings(
                    f"the database {database.name} is not empty ({name}): restore to an empty data"
                    " folder, or to a database without collections"
                )
        for name in await self.vectors.collections():
            if await self.vectors.count(name, Where()):
                raise InvalidSettings(
                    f"the vectors are not empty ({name}): restore to an empty data folder, or to a"
                    " Qdrant without collections; delete those that nothing needs any more"
                )

    async def _refuse_snapshots(self, manifest: Manifest) -> None:
        """Refuse snapshots of another version of Qdrant than the one that is here."""
        made_by = {entry.snapshot_of for entry in manifest.vectors.values()} - {""}
        if not made_by:
            return
        async with snapshots_of(self.app.settings) as server:
            here = await server.version()
        if not all(same_minor(version, here) for version in made_by):
            raise InvalidSettings(
                f"the backup has snapshots of Qdrant {', '.join(sorted(made_by))}, and this is"
                f" {here}: restore it to that version, or make a backup without --snapshots"
            )

    def _go_on(self, manifest: Manifest) -> bool:
        """Set the groups' offsets to the cut, if this is the broker that they are of."""
        settings = self.app.settings
        broker = BrokerAddress.of(settings)
        if broker_identity(broker, settings) != manifest.cut.cluster:
            return False
        set_offsets(broker, settings, manifest.cut.partitions())
        return True

    async def _put_images(self, folder: Backups, manifest: Manifest) -> list[str]:
        """Copy the images; returns those that the backup lacks or has damaged."""
        blobs = self.app.stores.blobs
        held = set(await asyncio.to_thread(lambda: list(blobs.uris())))
        wanted = [uri for uri in folder.image_uris(manifest) if uri not in held]
        return await copy_images(folder.images, blobs, wanted)

    async def _put_vectors(self, folder: Backups, manifest: Manifest) -> None:
        for name, entry in manifest.vectors.items():
            if entry.snapshot_of:
                async with snapshots_of(self.app.settings) as server:
                    await server.restore(name, folder.file(manifest, entry.file))
                continue
            keywords, numbers = indexed_fields(name)
            await self.vectors.ensure(name, entry.dimension, keywords=keywords, numbers=numbers)
            await load_points(self.vectors, name, folder.file(manifest, entry.file))
        if manifest.aliases:
            await self.vectors.alias(manifest.aliases)

    def _put_noted_settings(self, folder: Backups, manifest: Manifest) -> None:
        for name in NOTED_SETTINGS:
            if name in manifest.files:
                content = folder.file(manifest, name).read_bytes()
                replace_file(self.app.settings.data / name, content)

    async def _complete(self, folder: Backups, manifest: Manifest) -> None:
        """Add the erasures and records of acts that later backups have, and revoke their tokens."""
        database = self.app.stores.database
        for name in folder.names():
            other = folder.manifest(name)
            if other.name <= manifest.name:
                continue
            for collection in _APPENDED:
                if collection in other.collections:
                    path = folder.file(other, other.collections[collection])
                    await add_missing(database, collection, path)
            if TOKENS in other.collections:
                await revoke_as_in(database, folder.file(other, other.collections[TOKENS]))

    async def _erase_again(self, manifest: Manifest, clock: Clock, *, goes_on: bool) -> int:
        """Erase what was erased after the backup; returns the number of frames."""
        stores = self.app.stores
        requests = await asyncio.to_thread(self._erased_since, manifest) if goes_on else {}
        requests |= await stores.tombstones.requesters()
        frames = await stores.frame_ids.hashed(requests.keys()) if requests else []
        eraser = eraser_alone(stores, self.app.outbox, self.vectors, self.app.settings, clock)
        for (by, reason), ids in _by_request(frames, requests).items():
            await eraser.erase(ids, ErasureRequest(by, reason, clock.now()))
        await eraser.sweep()
        return len(frames)

    def _erased_since(self, manifest: Manifest) -> dict[FrameHash, tuple[str, str]]:
        """Who asked for the erasures that the broker's log has after the cut, and why."""
        settings, mark = self.app.settings, FrameErased.__name__.encode()
        since = manifest.cut.first_of(FRAMES.name)
        found: dict[FrameHash, tuple[str, str]] = {}
        for value in values(BrokerAddress.of(settings), settings, FRAMES, since):
            if mark in value:
                event = _erasure(value)
                if event is not None:
                    found[event.frame_hash] = (event.requested_by, event.reason)
        return found


def _refuse_other_version(manifest: Manifest) -> None:
    if manifest.stores == STORE_VERSION:
        return
    error = StoresFromLater if manifest.stores > STORE_VERSION else StoresNotMigrated
    raise error(
        f"the backup is of version {manifest.stores} of the stores, and this Gazeloop uses version"
        f" {STORE_VERSION}: restore it with Gazeloop {manifest.gazeloop}"
    )


def _erasure(value: bytes) -> FrameErased | None:
    try:
        event = decode(FRAMES.name, value)
    except Invalid:
        return None
    return event if isinstance(event, FrameErased) else None


def _by_request(
    frames: list[FrameId], requests: Mapping[FrameHash, tuple[str, str]]
) -> Mapping[tuple[str, str], list[FrameId]]:
    grouped: defaultdict[tuple[str, str], list[FrameId]] = defaultdict(list)
    for frame_id in frames:
        grouped[requests[frame_hash(frame_id)]].append(frame_id)
    return grouped
