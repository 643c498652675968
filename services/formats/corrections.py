"""Prepare corrections: fit them to the stored images and merge them into one item per frame."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from services.contracts.errors import InvalidRecord
from services.contracts.events import REANNOTATION_SOURCE, FrameAnnotated, PredictionsMade
from services.contracts.identity import FrameId
from services.domain.chunks import chunks
from services.domain.detection.agreement import agree
from services.domain.ports.frames import FrameStore
from services.formats.frames import OpenedFrame, open_disputed, open_frame, refused
from services.formats.geometry import Size
from services.formats.items import Disputed, FrameItem, Item, Rejection
from services.formats.rules import (
    Picture,
    fitted,
    require_near,
    require_same_size,
    require_touching,
)
from services.runtime.images import ImageLimits

_CHUNK = 500
"""Frames loaded per query."""
SizesOf = Callable[[Collection[FrameId]], Mapping[FrameId, Size]]
"""Looks up the image sizes (width, height) of stored frames."""


async def corrections_of(items: Iterable[Item], frames: FrameStore) -> list[Item]:
    """Rejections first, then one item per frame with all its versions.

    A frame with several versions is `Disputed` if they differ; equal versions count once.

    Parameters
    ----------
    frames : the source of image sizes; for a frame that it does not hold, the size that the item
        declares is used

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    all_items = list(items)
    sizes = await stored_sizes(
        [frame_item.frame_id for frame_item in all_items if isinstance(frame_item, FrameItem)],
        frames,
    )
    versions: dict[FrameId, list[FrameItem]] = {}
    others: list[Item] = []
    for item in all_items:
        fit = on_picture(item, sizes.get(item.frame_id)) if isinstance(item, FrameItem) else item
        if isinstance(fit, FrameItem):
            versions.setdefault(fit.frame_id, []).append(fit)
        else:
            others.append(fit)
    return [*others, *map(one_of, versions.values())]


async def stored_sizes(
    frame_ids: Collection[FrameId], frames: FrameStore
) -> Mapping[FrameId, Size]:
    """Image sizes (width, height) of the frames that are stored.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    sizes: dict[FrameId, Size] = {}
    for chunk in chunks(list(dict.fromkeys(frame_ids)), _CHUNK):
        sizes |= await frames.image_sizes(chunk)
    return sizes


def on_stored_pictures(items: Iterable[Item], sizes: SizesOf) -> Iterator[Item]:
    """Fit items that bring no image of their own to the stored image."""
    remaining = iter(items)
    while chunk := list(islice(remaining, _CHUNK)):
        bare = {
            id(frame_item): frame_item
            for frame_item in chunk
            if isinstance(frame_item, FrameItem) and not frame_item.image
        }
        known = sizes([frame_item.frame_id for frame_item in bare.values()]) if bare else {}
        for item in chunk:
            frame = bare.get(id(item))
            yield item if frame is None else on_picture(frame, known.get(frame.frame_id))


async def misplaced(
    records: Sequence[FrameAnnotated | PredictionsMade], frames: FrameStore
) -> list[InvalidRecord | None]:
    """For each record, why it cannot belong to its stored image; None where it can.

    An annotation wholly outside the image, a detection far outside, or a mask of another size means
    that the client used another image, or other units.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    sizes = await stored_sizes([record.frame_id for record in records], frames)
    return [_misplaced(record, sizes.get(record.frame_id)) for record in records]


def _misplaced(record: FrameAnnotated | PredictionsMade, size: Size | None) -> InvalidRecord | None:
    if size is None:
        return None
    try:
        if isinstance(record, FrameAnnotated):
            for annotation in record.annotations:
                require_touching(annotation.bbox, size)
                require_same_size(annotation.mask, size)
        else:
            for detection in record.detections:
                require_near(detection.bbox, size)
                require_same_size(detection.mask, size)
    except InvalidRecord as exc:
        return exc
    return None


def on_picture(item: FrameItem, size: Size | None) -> Item:
    """Fit the frame's boxes to an image of this size; refuse the frame if the fit is unclear."""
    if size is None:
        return item
    try:
        return fitted(item, Picture(size))
    except InvalidRecord as exc:
        return refused(item, exc.reason, str(exc))


def open_correction(item: Item, limits: ImageLimits) -> OpenedFrame | Rejection:
    """Draft the ground truth of a correction (every version of it), and nothing else."""
    match item:
        case Rejection():
            return item
        case Disputed():
            return open_disputed(item, limits, REANNOTATION_SOURCE)
    return open_frame(replace(item, image=None, detections=None), limits, REANNOTATION_SOURCE)


def one_of(versions: Sequence[FrameItem]) -> FrameItem | Disputed:
    """Merge the versions of one frame if they agree; otherwise return them as `Disputed`.

    If a part of one version was refused, all versions are returned; opening them refuses the frame.
    """
    first, *others = versions
    if all(version.complete and _agree(first, version) for version in others):
        return first
    places = dict.fromkeys(version.location for version in versions)
    return Disputed(tuple(versions), ", ".join(places))


def _agree(one: FrameItem, other: FrameItem) -> bool:
    return agree(
        *([annotation.value for annotation in item.annotations or ()] for item in (one, other))
    )
