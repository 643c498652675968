"""Corrections before they are opened: on their pictures as these are stored, one item a frame."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from services.contracts.errors import InvalidRecord
from services.contracts.events import REANNOTATION_SOURCE, FrameAnnotated
from services.contracts.identity import FrameId
from services.domain.detection.agreement import agree
from services.domain.ports.frames import FrameStore
from services.formats.frames import OpenedFrame, open_disputed, open_frame, refused
from services.formats.geometry import Size
from services.formats.items import Disputed, FrameItem, Item, Rejection
from services.formats.rules import Picture, fitted, require_touching
from services.runtime.images import ImageLimits

_CHUNK = 500
"""Frames asked for at once."""
SizesOf = Callable[[Collection[FrameId]], Mapping[FrameId, Size]]
"""Width and height of the pictures of those frames that are stored."""


async def corrections_of(items: Iterable[Item], frames: FrameStore | None) -> list[Item]:
    """What is refused, then one item for each frame, with all that was said of it.

    A frame that came several times is disputed where its versions differ; equal ones count once.

    Parameters
    ----------
    frames : knows the sizes of pictures; one that it does not know yet, or none knows, is taken to
        be as the items declare it

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    given = list(items)
    sizes = await stored_sizes(
        [frame_item.frame_id for frame_item in given if isinstance(frame_item, FrameItem)], frames
    )
    versions: dict[FrameId, list[FrameItem]] = {}
    others: list[Item] = []
    for item in given:
        fit = on_picture(item, sizes.get(item.frame_id)) if isinstance(item, FrameItem) else item
        if isinstance(fit, FrameItem):
            versions.setdefault(fit.frame_id, []).append(fit)
        else:
            others.append(fit)
    return [*others, *map(one_of, versions.values())]


async def stored_sizes(
    frame_ids: Collection[FrameId], frames: FrameStore | None
) -> Mapping[FrameId, Size]:
    """Width and height of the pictures of those frames that are stored.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    asked = list(dict.fromkeys(frame_ids)) if frames else []
    sizes: dict[FrameId, Size] = {}
    for start in range(0, len(asked), _CHUNK):
        assert frames is not None
        found = await frames.load(asked[start : start + _CHUNK])
        for frame_id, record in found.items():
            if record.captured is not None:
                sizes[frame_id] = (record.captured.image.width, record.captured.image.height)
    return sizes


def on_stored_pictures(items: Iterable[Item], sizes: SizesOf) -> Iterator[Item]:
    """The items, those without a picture of their own on the one that is stored."""
    given = iter(items)
    while chunk := list(islice(given, _CHUNK)):
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
    truths: Sequence[FrameAnnotated], frames: FrameStore | None
) -> list[InvalidRecord | None]:
    """Why each of these cannot be of its picture as it is stored; none where it can.

    A client that names a box wholly outside has another picture in mind, or other units.

    Raises
    ------
    StoreUnavailable
        The store does not answer.
    """
    sizes = await stored_sizes([truth.frame_id for truth in truths], frames)
    return [_misplaced(truth, sizes.get(truth.frame_id)) for truth in truths]


def _misplaced(truth: FrameAnnotated, size: Size | None) -> InvalidRecord | None:
    try:
        for annotation in truth.annotations if size else ():
            require_touching(annotation.bbox, size)
    except InvalidRecord as exc:
        return exc
    return None


def on_picture(item: FrameItem, size: Size | None) -> Item:
    """The frame with its boxes on the picture of this size; refused where it is unclear how."""
    if size is None:
        return item
    try:
        return fitted(item, Picture(size))
    except InvalidRecord as exc:
        return refused(item, exc.reason, str(exc))


def open_correction(item: Item, limits: ImageLimits) -> OpenedFrame | Rejection:
    """Draft what a correction says: its ground truth, or every version of it, and nothing else."""
    match item:
        case Rejection():
            return item
        case Disputed():
            return open_disputed(item, limits, REANNOTATION_SOURCE)
    return open_frame(replace(item, image=None, detections=None), limits, REANNOTATION_SOURCE)


def one_of(versions: Sequence[FrameItem]) -> FrameItem | Disputed:
    """What several people say of one frame, where they agree; else all of it.

    Where a part of one version was refused, all are given: opening them refuses the frame.
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
