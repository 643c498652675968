"""The stores and services that the review page's routes use."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.annotation.review.base_map import BaseMap
from services.annotation.review.corrections import Corrector
from services.annotation.review.pictures import PictureCache
from services.annotation.review.sessions import Authenticate
from services.annotation.review.similar import SimilarThings
from services.annotation.stores.opening import AnnotationStores
from services.contracts.identity import LetterId
from services.domain.dead_letters import Letter
from services.domain.ports.imports import ImportKind
from services.ground_truth.import_journal import DailyJournal
from services.ground_truth.publishing import RevisionPublisher
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages
from services.runtime.step import Outbox


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
    """Everything that the routes need, wired together.

    Attributes
    ----------
    authenticate : returns the account of an annotation token
    pictures : crops and thumbnails, drawn from `images`
    base_map : the map under drives; None draws them on a plain ground
    similar : searches vectors; None if this process has none
    dead_letters : access to the dead letters; None without a broker to read them from
    """

    stores: AnnotationStores
    settings: Settings
    clock: Clock
    authenticate: Authenticate
    corrector: Corrector
    images: ShownImages
    pictures: PictureCache
    base_map: BaseMap | None = None
    similar: SimilarThings | None = None
    dead_letters: DeadLetters | None = None


def review_context(
    stores: AnnotationStores,
    outbox: Outbox,
    settings: Settings,
    clock: Clock,
    *,
    authenticate: Authenticate,
    dead_letters: DeadLetters | None = None,
    similar: SimilarThings | None = None,
) -> ReviewContext:
    """The page's parts, wired to these stores.

    Parameters
    ----------
    outbox : where corrections are published
    authenticate, dead_letters, similar : as in `ReviewContext`
    """
    images = ShownImages.of(stores.blobs, settings)
    cache = settings.data / "cache" / "review"
    journal = DailyJournal(
        ImportKind.CORRECTIONS, "review page", stores.imports, stores.frames, clock
    )
    publisher = RevisionPublisher(stores.ledger, outbox, "review", journal)
    return ReviewContext(
        stores=stores,
        settings=settings,
        clock=clock,
        authenticate=authenticate,
        corrector=Corrector(stores.corrections, publisher),
        images=images,
        pictures=PictureCache(cache, settings.review_cache_bytes, images),
        base_map=BaseMap.open(settings.review_base_map) if settings.review_base_map else None,
        similar=similar,
        dead_letters=dead_letters,
    )


async def context_of(request: Request) -> ReviewContext:
    """The context of the application that serves this request."""
    context: ReviewContext = request.app.state.context
    return context


# Dependencies of routes are coroutines: FastAPI calls plain functions in a thread.
Context = Annotated[ReviewContext, Depends(context_of)]
