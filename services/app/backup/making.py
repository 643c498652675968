"""Makes a backup while services run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from shutil import rmtree

import structlog
from pymongo.asynchronous.client_session import AsyncClientSession

import services
from services.app.backup.backups import IMAGES, Backups, UnfinishedBackup
from services.app.backup.images import copy_images, damaged_images, replace_images
from services.app.backup.manifest import (
    NOTED_SETTINGS,
    Cut,
    KeptFile,
    KeptVectors,
    Manifest,
    settings_kept,
)
from services.app.parts import App
from services.app.subscriptions import all_subscriptions
from services.domain.ports.vectors import VectorReader
from services.runtime.clock import Clock
from services.runtime.kafka.broker import BrokerAddress
from services.runtime.kafka.lag import LagReader
from services.runtime.kafka.topic_admin import broker_identity
from services.runtime.settings import Settings
from services.runtime.stores.bson_files import BsonWriter
from services.runtime.stores.mongo_dump import (
    MomentPassedError,
    collections_to_keep,
    dump,
    one_moment,
)
from services.runtime.stores.store_version import STORE_VERSION
from services.runtime.stores.tombstones_mongo import TOMBSTONES
from services.runtime.stores.vector_files import dump_points
from services.runtime.stores.vector_snapshots import snapshots_of
from services.runtime.stores.vectors_edge_copy import copy_edge
from services.runtime.stores.vectors_edge_names import EDGE_FOLDER
from services.runtime.stores.vectors_open import open_vector_store

log = structlog.get_logger(__name__)

OnStage = Callable[[str], None]


async def back_up(
    app: App,
    folder: Backups,
    clock: Clock,
    on_stage: OnStage,
    *,
    snapshots: bool = False,
    repair: bool = False,
) -> Manifest:
    """Write a backup of everything but the broker; services may run meanwhile.

    Stores are read in the reverse of the order in which services write them, after the offsets:
    what a document refers to is there when it is read. Tombstones come last, so that a frame that
    is erased meanwhile is known to be.

    Parameters
    ----------
    snapshots : whether to keep the Qdrant server's snapshots in place of points
    repair : whether to read the images that earlier backups have, and copy damaged ones again

    Raises
    ------
    DiskFull
        The folder's disk is full.
    InvalidSettings
        Another process writes a backup to the folder; or there is no server of one node, of which
        snapshots could be made.
    Transient
        A store or the broker does not answer.
    """
    now = clock.now()
    with folder.writing(now) as unfinished:
        work = _Making(app, folder, unfinished, on_stage)
        cut = await asyncio.to_thread(_cut, app.settings)
        at_one_moment = await work.keep_documents()
        await (work.keep_snapshots() if snapshots else work.keep_vectors())
        images, unreadable = await work.keep_images(repair=repair)
        await work.keep_collection(TOMBSTONES)
        await asyncio.to_thread(work.keep_noted_settings)
        manifest = Manifest(
            name=unfinished.name,
            made_at=now,
            gazeloop=services.__version__,
            stores=STORE_VERSION,
            cut=cut,
            at_one_moment=at_one_moment,
            files=work.files,
            collections=work.collections,
            vectors=work.vectors,
            aliases=work.aliases,
            images=images,
            unreadable_images=unreadable,
            settings=settings_kept(app.settings),
        )
        await asyncio.to_thread(unfinished.finish, manifest)
    return manifest


def _cut(settings: Settings) -> Cut:
    broker = BrokerAddress.of(settings)
    with LagReader(broker, settings) as reader:
        positions = reader.positions(all_subscriptions(settings))
    return Cut.of(broker_identity(broker, settings), positions)


class _Making:
    """Reads the stores into a backup, and notes what it wrote."""

    def __init__(
        self, app: App, folder: Backups, unfinished: UnfinishedBackup, on_stage: OnStage
    ) -> None:
        self._app = app
        self._folder = folder
        self._unfinished = unfinished
        self._on_stage = on_stage
        self.files: dict[str, KeptFile] = {}
        self.collections: dict[str, str] = {}
        self.vectors: dict[str, KeptVectors] = {}
        self.aliases: dict[str, str] = {}

    async def keep_documents(self) -> bool:
        """Keep all collections but the tombstones; returns whether they are of one moment."""
        (self._unfinished.folder / "mongodb").mkdir()
        database = self._app.stores.database
        self._on_stage("documents")
        async with one_moment(database) as moment:
            session = moment
            for name in await collections_to_keep(database):
                if name == TOMBSTONES:
                    continue
                try:
                    await self.keep_collection(name, session)
                except MomentPassedError:
                    log.warning("moment_passed", collection=name, means="others are read as now")
                    session = None
                    await self.keep_collection(name)
            return session is not None

    async def keep_collection(self, name: str, session: AsyncClientSession | None = None) -> None:
        """Keep one collection as of the session's moment, or as it is now."""
        path = f"mongodb/{name}.bson"
        target = self._unfinished.folder / path
        self._note(path, await dump(self._app.stores.database, name, target, session))
        self.collections[name] = path

    async def keep_vectors(self) -> None:
        """Keep all vectors, of every model."""
        (self._unfinished.folder / "vectors").mkdir()
        self._on_stage("vectors")
        async with self._readable_vectors() as vectors:
            for collection in await vectors.collections():
                path = f"vectors/{collection}.bson"
                self._note(
                    path, await dump_points(vectors, collection, self._unfinished.folder / path)
                )
                dimension = await vectors.dimension(collection)
                assert dimension is not None
                self.vectors[collection] = KeptVectors(dimension=dimension, file=path)
            self.aliases = await vectors.aliases()

    async def keep_snapshots(self) -> None:
        """Keep a snapshot of every collection of the server."""
        (self._unfinished.folder / "vectors").mkdir()
        self._on_stage("vectors")
        async with self._readable_vectors() as vectors, snapshots_of(self._app.settings) as server:
            version = await server.version()
            for collection in await vectors.collections():
                path = f"vectors/{collection}.snapshot"
                snapshot = await server.save(collection, self._unfinished.folder / path)
                self.files[path] = KeptFile(sha256=snapshot.sha256, size=snapshot.size, documents=0)
                dimension = await vectors.dimension(collection)
                assert dimension is not None
                entry = KeptVectors(dimension=dimension, file=path, snapshot_of=version)
                self.vectors[collection] = entry
            self.aliases = await vectors.aliases()

    @asynccontextmanager
    async def _readable_vectors(self) -> AsyncIterator[VectorReader]:
        """The server's vectors; or a copy of Qdrant Edge's, which has one owner."""
        settings = self._app.settings
        copy = self._unfinished.folder / EDGE_FOLDER
        if not settings.qdrant:
            await asyncio.to_thread(copy_edge, settings.data / EDGE_FOLDER, copy)
            settings = settings.model_copy(update={"data": self._unfinished.folder})
        vectors = open_vector_store(settings)
        try:
            yield vectors
        finally:
            await vectors.close()
            await asyncio.to_thread(rmtree, copy, ignore_errors=True)

    async def keep_images(self, *, repair: bool) -> tuple[int, list[str]]:
        """Copy the images that no backup has yet; returns their number, and the unreadable ones."""
        self._on_stage("images")
        source, target = self._app.stores.blobs, self._folder.images
        kept = set(await asyncio.to_thread(lambda: list(target.uris())))
        uris = await asyncio.to_thread(lambda: list(source.uris()))
        new = [uri for uri in uris if uri not in kept]
        unreadable = set(await copy_images(source, target, new))
        if repair:
            damaged = await damaged_images(target, [uri for uri in uris if uri in kept])
            self._on_stage(f"{len(damaged):,} images of earlier backups are damaged")
            unreadable |= set(await replace_images(source, target, damaged))
        digests = [uri.rpartition("/")[2] for uri in uris if uri not in unreadable]
        listed = "".join(f"{digest}\n" for digest in digests).encode()
        self.files[IMAGES] = await asyncio.to_thread(self._unfinished.write, IMAGES, listed)
        return len(digests), sorted(uri.rpartition("/")[2] for uri in unreadable)

    def keep_noted_settings(self) -> None:
        """Keep which settings made the vectors of a data folder, and split its frames."""
        for name in NOTED_SETTINGS:
            path = self._app.settings.data / name
            if path.is_file():
                self.files[name] = self._unfinished.write(name, path.read_bytes())

    def _note(self, path: str, file: BsonWriter) -> None:
        self.files[path] = KeptFile(sha256=file.sha256, size=file.size, documents=file.documents)
