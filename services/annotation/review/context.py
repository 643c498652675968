"""The stores and services that the review page's routes use."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.annotation.ports.needle_lists import NeedleLists
from services.annotation.ports.needle_modes import FailureModes
from services.annotation.ports.open_questions import OpenQuestions
from services.annotation.ports.reviews import ReviewStore
from services.annotation.ports.sessions import SessionStore
from services.annotation.review.base_map import BaseMap
from services.annotation.review.corrections import Corrector
from services.annotation.review.pictures import PictureCache
from services.annotation.review.sessions import Authenticate
from services.annotation.review.similar import SimilarThings
from services.annotation.stores.drive_frames import DriveFrames
from services.annotation.stores.frame_places import FramePlaces
from services.annotation.stores.frame_times import FrameTimes
from services.annotation.stores.id_search import IdSearch
from services.annotation.stores.region_shortlists import RegionShortlists
from services.annotation.stores.saved_views import SavedViews
from services.contracts.identity import LetterId
from services.domain.dead_letters import Letter
from services.domain.ports.audit import AuditLog
from services.domain.ports.categories import Categories
from services.domain.ports.category_maps import CategoryMaps
from services.domain.ports.family_marks import FamilyMarks
from services.domain.ports.frames import FrameStore
from services.domain.ports.held_corrections import HeldCorrections
from services.domain.ports.known_places import KnownPlaces
from services.domain.ports.matches import MatchStore
from services.domain.ports.needles import NeedleStore
from services.domain.ports.tokens import TokenStore
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages
from services.runtime.stores.budget_reports import BudgetReports
from services.runtime.stores.comparisons import ComparisonStore
from services.runtime.stores.curves import CurveStore
from services.runtime.stores.figures import FigureStore
from services.runtime.stores.region_maps import RegionMaps
from services.runtime.stores.repair_gains import RepairGains


@dataclass(frozen=True)
class DeadLetters:
    """Access to the dead letters.

    Attributes
    ----------
    read : returns every dead letter that the broker still has, with its state
    replay : publishes the original records of these dead letters again; returns their number
    discard : marks these dead letters as discarded; returns their number
    """

    read: Callable[[], Awaitable[Sequence[Letter]]]
    replay: Callable[[Sequence[LetterId]], Awaitable[int]]
    discard: Callable[[Sequence[LetterId]], Awaitable[int]]


@dataclass(frozen=True)
class ReviewContext:
    """Everything that the routes need, wired together."""

    settings: Settings
    clock: Clock
    authenticate: Authenticate
    tokens: TokenStore
    sessions: SessionStore
    frames: FrameStore
    needles: NeedleStore
    lists: NeedleLists
    modes: FailureModes
    marks: FamilyMarks
    reviews: ReviewStore
    corrector: Corrector
    pictures: PictureCache
    images: ShownImages
    figures: FigureStore
    curves: CurveStore
    comparisons: ComparisonStore
    repair_gains: RepairGains
    maps: RegionMaps
    budgets: BudgetReports
    ids: IdSearch
    drives: DriveFrames
    views: SavedViews
    region_shortlists: RegionShortlists
    places: FramePlaces
    known_places: KnownPlaces
    times: FrameTimes
    matches: MatchStore
    held: HeldCorrections
    questions: OpenQuestions
    categories: Categories
    category_maps: CategoryMaps
    audit: AuditLog
    base_map: BaseMap | None = None
    """None draws drives on a plain ground."""
    similar: SimilarThings | None = None
    """None if this process has no vectors."""
    dead_letters: DeadLetters | None = None
    """None if there is no broker to read them from."""
