"""Annotation's own stores, in the database of the stores that all services share."""

from dataclasses import dataclass, fields
from typing import Self

from services.annotation.ports.annotation_tasks import AnnotationTasks
from services.annotation.ports.captured_frames import CapturedFrames
from services.annotation.ports.corrections import CorrectionStore
from services.annotation.ports.drive_frames import DriveFrames
from services.annotation.ports.frame_places import FramePlaces
from services.annotation.ports.frame_times import FrameTimes
from services.annotation.ports.id_search import IdSearch
from services.annotation.ports.needle_lists import NeedleLists
from services.annotation.ports.needle_modes import FailureModes
from services.annotation.ports.open_questions import OpenQuestions
from services.annotation.ports.region_shortlists import RegionShortlists
from services.annotation.ports.reviews import ReviewStore
from services.annotation.ports.saved_views import SavedViews
from services.annotation.ports.sessions import SessionStore
from services.annotation.stores.annotation_tasks_mongo import MongoAnnotationTasks
from services.annotation.stores.captured_frames_mongo import MongoCapturedFrames
from services.annotation.stores.corrections_mongo import MongoCorrectionStore
from services.annotation.stores.drive_frames_mongo import MongoDriveFrames
from services.annotation.stores.frame_places_mongo import MongoFramePlaces
from services.annotation.stores.frame_times_mongo import MongoFrameTimes
from services.annotation.stores.id_search_mongo import MongoIdSearch
from services.annotation.stores.needle_lists_mongo import MongoNeedleLists
from services.annotation.stores.needle_modes_mongo import MongoModes
from services.annotation.stores.open_questions_mongo import MongoOpenQuestions
from services.annotation.stores.region_shortlists_mongo import MongoRegionShortlists
from services.annotation.stores.reviews_mongo import MongoReviewStore
from services.annotation.stores.saved_views_mongo import MongoSavedViews
from services.annotation.stores.sessions_mongo import MongoSessionStore
from services.runtime.stores.indexes import make_indexes
from services.runtime.stores.opening import Stores

INDEXED_STORES = (
    MongoDriveFrames,
    MongoFramePlaces,
    MongoNeedleLists,
    MongoModes,
    MongoReviewStore,
    MongoSessionStore,
    MongoCorrectionStore,
    MongoAnnotationTasks,
    MongoOpenQuestions,
    MongoSavedViews,
)
"""Annotation's stores that declare indexes."""


@dataclass(frozen=True)
class AnnotationStores(Stores):
    """The shared stores, and those that only annotation uses."""

    sessions: SessionStore
    needle_lists: NeedleLists
    needle_modes: FailureModes
    reviews: ReviewStore
    corrections: CorrectionStore
    captured_frames: CapturedFrames
    frame_places: FramePlaces
    frame_times: FrameTimes
    annotation_tasks: AnnotationTasks
    questions: OpenQuestions
    id_search: IdSearch
    drive_frames: DriveFrames
    saved_views: SavedViews
    region_shortlists: RegionShortlists

    @classmethod
    def of(cls, shared: Stores) -> Self:
        """Annotation's stores in the database of these; reads and writes nothing."""
        database = shared.database
        return cls(
            **{item.name: getattr(shared, item.name) for item in fields(Stores)},
            sessions=MongoSessionStore(database),
            needle_lists=MongoNeedleLists(database),
            needle_modes=MongoModes(database),
            reviews=MongoReviewStore(database),
            corrections=MongoCorrectionStore(database),
            captured_frames=MongoCapturedFrames(database),
            frame_places=MongoFramePlaces(database),
            frame_times=MongoFrameTimes(database),
            annotation_tasks=MongoAnnotationTasks(database),
            questions=MongoOpenQuestions(database),
            id_search=MongoIdSearch(database),
            drive_frames=MongoDriveFrames(database),
            saved_views=MongoSavedViews(database),
            region_shortlists=MongoRegionShortlists(database),
        )


async def open_annotation_stores(shared: Stores) -> AnnotationStores:
    """Create annotation's missing indexes, and set the fields that older needles lack.

    Raises
    ------
    StoreUnavailable, InvalidSettings
        MongoDB does not answer, or refuses the user.
    """
    await make_indexes(shared.database, INDEXED_STORES)
    stores = AnnotationStores.of(shared)
    await stores.needle_lists.mark_older()
    return stores
