"""Wire the routes that ingest's API serves for Label Studio."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.annotation.label_studio.http import event_routes, image_routes
from services.annotation.label_studio.links import ImageLinks
from services.annotation.stores.opening import AnnotationStores
from services.runtime.clock import Clock
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages


def outside_routes(
    stores: AnnotationStores, settings: Settings, clock: Clock
) -> Sequence[APIRouter]:
    """Ingest's routes for Label Studio and annotators' browsers; none if it is not configured."""
    if not settings.label_studio_url:
        return ()
    links = ImageLinks(stores.reviews.signing_key, settings.public_url)
    return (
        event_routes(stores.annotation_tasks, settings),
        image_routes(links, stores.frames, ShownImages.of(stores.blobs, settings), settings, clock),
    )
