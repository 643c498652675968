"""The indexes of collections: services create them at start, `doctor` reports missing ones."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, cast

import structlog
from pymongo import IndexModel
from pymongo.errors import NetworkTimeout
from tenacity import RetryCallState, retry, retry_if_exception

from services.contracts.errors import StoreUnavailable
from services.runtime.stores.audit_mongo import MongoAuditLog
from services.runtime.stores.epochs_mongo import MongoEpochStore
from services.runtime.stores.failure_models_mongo import MongoFailureModelStore
from services.runtime.stores.figures_mongo import MongoFigureStore
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.held_corrections_mongo import MongoHeldCorrections
from services.runtime.stores.imports_mongo import MongoImports
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database, translated
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from services.runtime.stores.tombstones_mongo import MongoTombstones

log = structlog.get_logger(__name__)

INDEXED_STORES = (
    MongoFrameStore,
    MongoMatchStore,
    MongoNeedleStore,
    MongoShortlistStore,
    partial(MongoEpochStore, broker=""),  # indexes are the same whatever the broker
    MongoFailureModelStore,
    MongoFigureStore,
    MongoHeldCorrections,
    MongoTombstones,
    MongoAuditLog,
    MongoImports,
)
"""The shared stores that declare indexes; annotation has its own."""


class IndexedStore(Protocol):
    """A store that declares the indexes of its collections."""

    async def prepare(self) -> None:
        """Create the indexes, unless they are there."""
        ...


MakeStore = Callable[[Database], IndexedStore]


async def make_indexes(database: Database, stores: Iterable[MakeStore]) -> None:
    """Create the missing indexes of these stores; wait for as long as MongoDB builds them.

    Raises
    ------
    StoreUnavailable, InvalidSettings
        MongoDB does not answer, or refuses the user.
    """
    for store in stores:
        await _prepared(store(database))


def _goes_on(error: BaseException) -> bool:
    """Whether the driver waited for an answer in vain: MongoDB goes on building, and tells the next
    one who wants the same index when it is done.
    """
    return isinstance(error, StoreUnavailable) and isinstance(error.__cause__, NetworkTimeout)


def _note_build(state: RetryCallState) -> None:
    log.warning("index_build_goes_on", store=type(state.args[0]).__name__)


@retry(retry=retry_if_exception(_goes_on), before_sleep=_note_build, reraise=True)
async def _prepared(store: IndexedStore) -> None:
    await store.prepare()


async def missing_indexes(database: Database, stores: Iterable[MakeStore]) -> list[str]:
    """The collections of these stores that lack an index, by name.

    Raises
    ------
    StoreUnavailable, InvalidSettings
        MongoDB does not answer, or refuses the user.
    """
    noted = _Noting()
    await make_indexes(cast("Database", noted), stores)
    missing = []
    for collection, wanted in sorted(noted.indexes.items()):
        with translated():
            existing = await database[collection].index_information()
        if wanted - existing.keys():
            missing.append(collection)
    return missing


class _Noting:
    """Stands in for a database and records which indexes would be created."""

    def __init__(self) -> None:
        self.indexes: defaultdict[str, set[str]] = defaultdict(set)

    def __getitem__(self, collection: str) -> "_NotingCollection":
        return _NotingCollection(self.indexes, collection)


class _NotingCollection:
    def __init__(self, indexes: defaultdict[str, set[str]], name: str) -> None:
        self._indexes = indexes
        self._name = name

    async def create_index(self, keys: str | Sequence[tuple[str, int]], **options: Any) -> None:
        self._indexes[self._name].add(IndexModel(keys, **options).document["name"])
