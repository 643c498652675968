"""Opens and closes the shared stores in the settings except the vector store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.domain.ports.audit import AuditLog
from services.domain.ports.blobs import BlobStore
from services.domain.ports.budget_reports import BudgetReports
from services.domain.ports.categories import Categories
from services.domain.ports.category_maps import CategoryMaps
from services.domain.ports.comparisons import ComparisonStore
from services.domain.ports.curves import CurveStore
from services.domain.ports.embeddings import Embeddings
from services.domain.ports.epochs import EpochStore
from services.domain.ports.erasure import TombstoneStore
from services.domain.ports.estimates import EstimateStore
from services.domain.ports.failure_models import FailureModelStore
from services.domain.ports.family_marks import FamilyMarks
from services.domain.ports.figures import FigureStore
from services.domain.ports.frames import FrameStore
from services.domain.ports.held_corrections import HeldCorrections
from services.domain.ports.imports import ImportStore
from services.domain.ports.known_places import KnownPlaces
from services.domain.ports.leases import LeaseStore
from services.domain.ports.ledger import RevisionLedger
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleStore
from services.domain.ports.openings import Openings
from services.domain.ports.region_maps import RegionMaps
from services.domain.ports.repair_gains import RepairGains
from services.domain.ports.shortlists import ShortlistStore
from services.domain.ports.tokens import TokenStore
from services.runtime.settings import Settings
from services.runtime.stores.audit_mongo import MongoAuditLog
from services.runtime.stores.blobs_fsspec import LazyBlobs
from services.runtime.stores.budget_reports_mongo import MongoBudgetReports
from services.runtime.stores.categories_mongo import MongoCategories
from services.runtime.stores.category_maps_mongo import MongoCategoryMaps
from services.runtime.stores.comparisons_mongo import MongoComparisonStore
from services.runtime.stores.curves_mongo import MongoCurveStore
from services.runtime.stores.embeddings_mongo import MongoEmbeddings
from services.runtime.stores.epochs_mongo import MongoEpochStore
from services.runtime.stores.estimates_mongo import MongoEstimateStore
from services.runtime.stores.failure_models_mongo import MongoFailureModelStore
from services.runtime.stores.family_marks_mongo import MongoFamilyMarks
from services.runtime.stores.figures_mongo import MongoFigureStore
from services.runtime.stores.frame_ids_mongo import MongoFrameIds
from services.runtime.stores.frame_tags_mongo import MongoFrameTags
from services.runtime.stores.frames_mongo import MongoFrameStore
from services.runtime.stores.held_corrections_mongo import MongoHeldCorrections
from services.runtime.stores.imports_mongo import MongoImports
from services.runtime.stores.indexes import INDEXED_STORES, make_indexes
from services.runtime.stores.known_places_mongo import MongoKnownPlaces
from services.runtime.stores.leases_mongo import MongoLeaseStore
from services.runtime.stores.ledger_mongo import MongoRevisionLedger
from services.runtime.stores.matches_mongo import MongoMatchStore
from services.runtime.stores.mongo import Database, connected
from services.runtime.stores.needles_mongo import MongoNeedleStore
from services.runtime.stores.openings_mongo import MongoOpenings
from services.runtime.stores.region_maps_mongo import MongoRegionMaps
from services.runtime.stores.repair_gains_mongo import MongoRepairGains
from services.runtime.stores.schema_stamp import stamp_schema
from services.runtime.stores.shortlists_mongo import MongoShortlistStore
from services.runtime.stores.store_version import require_version
from services.runtime.stores.timed import TimedBlobs
from services.runtime.stores.tokens_mongo import MongoTokenStore
from services.runtime.stores.tombstones_mongo import MongoTombstones
from services.runtime.stores.unreadable_mongo import MongoUnreadableLog


@dataclass(frozen=True)
class Stores:
    """The images and the metadata that services share; vectors are opened separately, as their
    folder has one owner.

    Attributes
    ----------
    database : for the stores of one package, which it opens itself
    """

    database: Database
    blobs: BlobStore
    frames: FrameStore
    matches: MatchStore
    needles: NeedleStore
    shortlists: ShortlistStore
    epochs: EpochStore
    failure_models: FailureModelStore
    openings: Openings
    known_places: KnownPlaces
    ledger: RevisionLedger
    tokens: TokenStore
    family_marks: FamilyMarks
    budgets: BudgetReports
    frame_ids: MongoFrameIds
    frame_tags: MongoFrameTags
    figures: FigureStore
    curves: CurveStore
    comparisons: ComparisonStore
    repair_gains: RepairGains
    estimates: EstimateStore
    region_maps: RegionMaps
    embeddings: Embeddings
    held: HeldCorrections
    categories: Categories
    category_maps: CategoryMaps
    leases: LeaseStore
    unreadable: MongoUnreadableLog
    tombstones: TombstoneStore
    audit: AuditLog
    imports: ImportStore


@asynccontextmanager
async def open_stores(settings: Settings, broker_identity: str) -> AsyncIterator[Stores]:
    """Open the stores and create missing indexes; the blob store opens at its first use.

    Parameters
    ----------
    broker_identity : id of the broker whose acknowledgements the ledger stores

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    InvalidSettings
        A store refuses the login, or its URL is wrong.
    StoresNotMigrated, StoresFromLater
        The stores are of another version.
    """
    async with connected(settings) as database:
        await require_version(database)
        await make_indexes(database, INDEXED_STORES)
        await stamp_schema(database, settings.event_version)
        yield Stores(
            database=database,
            blobs=TimedBlobs(LazyBlobs(settings.blob_url)),
            frames=MongoFrameStore(database),
            matches=MongoMatchStore(database),
            needles=MongoNeedleStore(database),
            shortlists=MongoShortlistStore(database),
            epochs=MongoEpochStore(database, broker_identity),
            failure_models=MongoFailureModelStore(database),
            openings=MongoOpenings(database),
            known_places=MongoKnownPlaces(database),
            ledger=MongoRevisionLedger(database, broker_identity),
            tokens=MongoTokenStore(database),
            family_marks=MongoFamilyMarks(database),
            budgets=MongoBudgetReports(database),
            frame_ids=MongoFrameIds(database),
            frame_tags=MongoFrameTags(database),
            figures=MongoFigureStore(database),
            curves=MongoCurveStore(database),
            comparisons=MongoComparisonStore(database),
            repair_gains=MongoRepairGains(database),
            estimates=MongoEstimateStore(database),
            region_maps=MongoRegionMaps(database),
            embeddings=MongoEmbeddings(database),
            held=MongoHeldCorrections(database),
            categories=MongoCategories(database),
            category_maps=MongoCategoryMaps(database),
            leases=MongoLeaseStore(database),
            unreadable=MongoUnreadableLog(database),
            tombstones=MongoTombstones(database),
            audit=MongoAuditLog(database),
            imports=MongoImports(database),
        )
