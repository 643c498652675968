"""The indexes of all collections: services create them at start, `doctor` reports missing ones."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

from pymongo import IndexModel

from services.runtime.stores.annotation_tasks import MongoAnnotationTasks
from services.runtime.stores.categories import MongoCategories
from services.runtime.stores.corrections import MongoCorrectionStore
from services.runtime.stores.figures import MongoFigureStore
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.held_corrections import MongoHeldCorrections
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database, translated
from services.runtime.stores.needle_lists import MongoNeedleLists
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.open_questions import MongoOpenQuestions
from services.runtime.stores.reviews_mongo import MongoReviewStore
from services.runtime.stores.sessions_mongo import MongoSessionStore
from services.runtime.stores.shortlists_mongo import MongoShortlistStore

_INDEXED = (
    MongoFrameStore,
    MongoMatchStore,
    MongoNeedleStore,
    MongoShortlistStore,
    MongoNeedleLists,
    MongoReviewStore,
    MongoSessionStore,
    MongoCorrectionStore,
    MongoFigureStore,
    MongoAnnotationTasks,
    MongoHeldCorrections,
    MongoOpenQuestions,
    MongoCategories,
)


async def make_indexes(database: Database) -> None:
    """Create all missing indexes.

    Raises
    ------
    StoreUnavailable, InvalidSettings
        MongoDB does not answer, or refuses the user.
    """
    for store in _INDEXED:
        await store(database).prepare()


async def missing_indexes(database: Database) -> list[str]:
    """The collections that lack an index, by name.

    Raises
    ------
    StoreUnavailable, InvalidSettings
        MongoDB does not answer, or refuses the user.
    """
    noted = _Noting()
    await make_indexes(cast("Database", noted))
    missing = []
    for collection, wanted in sorted(noted.indexes.items()):
        with translated():
            there = await database[collection].index_information()
        if wanted - there.keys():
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

    async def create_index(self, keys: str | Sequence[tuple[str, int]], **_: Any) -> None:
        self._indexes[self._name].add(IndexModel(keys).document["name"])
