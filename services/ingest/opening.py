"""Opens a data set's frames: fitted to the stored images, bounded, and each once."""

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping

from tenacity import AsyncRetrying

from services.contracts.identity import FrameId
from services.domain.ports.frames import FrameStore
from services.formats.corrections import (
    SizesOf,
    corrections_of,
    on_stored_pictures,
    open_correction,
    stored_sizes,
)
from services.formats.detection_limit import within_limit
from services.formats.frames import OpenedFrame, open_frame, refused
from services.formats.geometry import Size
from services.formats.items import FrameItem, Item, Rejection
from services.ingest.parts import IngestParts
from services.ingest.source import Source
from services.runtime.images import ImageLimits


async def opened_corrections(
    items: Iterable[Item], parts: IngestParts, way: str, retrying: AsyncRetrying
) -> Iterator[OpenedFrame | Rejection]:
    """The ground truth of corrections, with all versions of a frame in one.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    read = await asyncio.to_thread(list, items)  # parsing is slow, and must not block the loop
    corrections: Iterable[Item] = await retrying(corrections_of, read, parts.frames)
    limits, most = parts.image_limits, parts.settings.max_detections_per_frame
    return (open_correction(item, limits) for item in _bounded(corrections, most, way))


def opened_import(
    items: Iterable[Item], parts: IngestParts, way: str, retrying: AsyncRetrying
) -> Iterator[OpenedFrame | Rejection]:
    """The frames of an import, opened one by one.

    The iterator queries the stores, and so is for another thread than the calling event loop's.
    """
    fitted = on_stored_pictures(items, _sizes_from(parts.frames, retrying))
    most = parts.settings.max_detections_per_frame
    return _opened_once(_bounded(fitted, most, way), parts.image_limits)


def _sizes_from(frames: FrameStore, retrying: AsyncRetrying) -> SizesOf:
    """Returns a function that queries the store from the thread that opens frames."""
    loop = asyncio.get_running_loop()

    def sizes(frame_ids: Collection[FrameId]) -> Mapping[FrameId, Size]:
        asking: Coroutine[None, None, Mapping[FrameId, Size]] = retrying(
            stored_sizes, frame_ids, frames
        )
        return asyncio.run_coroutine_threadsafe(asking, loop).result()

    return sizes


def _bounded(items: Iterable[Item], most: int, way: str) -> Iterator[Item]:
    """Items without the detections beyond the limit per frame."""
    for item in items:
        yield within_limit(item, most, way) if isinstance(item, FrameItem) else item


def _opened_once(items: Iterable[Item], limits: ImageLimits) -> Iterator[OpenedFrame | Rejection]:
    """Open each frame; refuse one that occurred before, as it would overwrite the first."""
    opened: set[FrameId] = set()
    for item in items:
        if not isinstance(item, FrameItem):
            yield open_correction(item, limits)
        elif item.frame_id in opened:
            detail = f"frame {item.frame_id} occurred before in the same data set"
            yield refused(item, "duplicate_id", detail)
        else:
            opened.add(item.frame_id)
            yield open_frame(item, limits, Source.IMPORT)
