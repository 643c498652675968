"""Annotated frames for training and benchmarks, from a data set's files or a data folder."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from services.annotation import exporting
from services.annotation.stores.opening import AnnotationStores, open_annotation_stores
from services.cli.console import console, styled
from services.cli.context import Context
from services.cli.labelled_source import Source
from services.cli.work.opened import opened
from services.cli.work.opening import coco_opener, via_opener, voc_opener
from services.contracts.errors import InvalidImage, InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import FrameId
from services.domain.redaction import ShownImage
from services.embedder.training.labelled import LabelledFrame, LabelledObject
from services.formats.frames import on_its_picture
from services.formats.items import Dataset, FrameItem, Item, Rejection
from services.formats.writers.frames import ExportFrame
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings
from services.runtime.shown_images import ShownImages

Chosen = Callable[[AnnotationStores, Settings], Awaitable[list[ExportFrame]]]


async def labelled_frames(source: Source, context: Context, chosen: Chosen) -> list[LabelledFrame]:
    """The annotated frames of a source, sorted by id.

    Parameters
    ----------
    chosen : selects the frames of a data folder
    """
    settings = context.settings()
    limits = ImageLimits.of(settings)
    dataset = _dataset_of(source)
    if dataset is not None:
        return _of_dataset(dataset.items, limits)
    return await _of_data_folder(context, chosen, limits)


def _of_dataset(items: Iterable[Item], limits: ImageLimits) -> list[LabelledFrame]:
    rejected: Counter[str] = Counter()
    frames = []
    for item in items:
        if isinstance(item, Rejection):
            rejected[item.reason] += 1
        elif isinstance(item, FrameItem) and item.image and item.annotations is not None:
            try:
                frames.append(_frame_of(on_its_picture(item, limits), limits))
            except InvalidImage:  # reported when its content is read
                frames.append(_frame_of(item, limits))
            except InvalidRecord as exc:
                rejected[exc.reason] += 1
    if rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in rejected.most_common())
        console(stderr=True).print(styled("[yellow]left out:[/] {}", reasons))
    return frames


def _frame_of(item: FrameItem, limits: ImageLimits) -> LabelledFrame:
    assert item.image is not None
    assert item.annotations is not None
    truths = [annotation.value for annotation in item.annotations]
    return _labelled(item.frame_id, item.drive_id, item.image.read_bytes, limits, truths)


def _labelled(
    frame_id: str,
    drive_id: str | None,
    content: Callable[[], bytes],
    limits: ImageLimits,
    truths: Sequence[Annotation],
) -> LabelledFrame:

    objects = tuple(LabelledObject(truth.category, truth.bbox) for truth in truths if truth.counts)
    return LabelledFrame(frame_id, drive_id or frame_id, content, limits, objects)


async def _of_data_folder(
    context: Context, chosen: Chosen, limits: ImageLimits
) -> list[LabelledFrame]:

    async with opened(context.stored(), "labelled") as app:
        stores = await open_annotation_stores(app.stores)
        frames = await chosen(stores, app.settings)
        # An embedder is trained on what it embeds: the images as they were captured.
        images = ShownImages.originals(stores.blobs, app.settings)
        shown = await exporting.shown_images(stores, frames, images)
    if left_out := len(frames) - len(shown):
        text = "[yellow]left out:[/] {:,} frames whose images were deleted as too old"
        console(stderr=True).print(styled(text, left_out))
    return of_stored(frames, shown, images, limits)


def of_stored(
    frames: Iterable[ExportFrame],
    shown: Mapping[FrameId, ShownImage],
    images: ShownImages,
    limits: ImageLimits,
) -> list[LabelledFrame]:
    """The annotated frames of a data folder that have an image."""
    return [
        _labelled(
            frame.frame_id,
            frame.drive_id,
            partial(images.content, shown[frame.frame_id]),
            limits,
            frame.annotations,
        )
        for frame in frames
        if frame.annotations is not None and frame.frame_id in shown
    ]


def _dataset_of(source: Source) -> Dataset | None:
    """The named data set; None for the data folder."""
    if source.coco:
        return coco_opener(source.coco, source.images)()
    if source.voc:
        return voc_opener(source.voc, source.images)()
    if source.via:
        return via_opener(source.via, source.images)()
    return None
