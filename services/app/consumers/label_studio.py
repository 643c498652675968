"""Build the service for Label Studio, which also pushes and pulls tasks in the background."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.annotation.label_studio.service import RecordShortlists
from services.annotation.stores.frame_traces import of_annotation
from services.annotation.stores.opening import open_annotation_stores
from services.app.consumers.building import BuiltService, Parts
from services.app.label_studio_parts import carrying
from services.contracts.flow import LABEL_STUDIO, READS
from services.runtime.erased_frames import ErasedFramesLeftOut


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[BuiltService]:
    """Build it."""
    async with parts.connected(LABEL_STUDIO) as client:
        annotation = await open_annotation_stores(parts.stores)
        step = RecordShortlists(annotation.annotation_tasks)
        async with carrying(annotation, client.outbox, parts.settings, parts.clock):
            served = ErasedFramesLeftOut(
                LABEL_STUDIO,
                step,
                parts.stores.tombstones,
                client.outbox,
                traces=of_annotation(parts.stores.database),
            )
            yield BuiltService([client.consumer(READS[LABEL_STUDIO], served)])
