"""Annotated frames for training and benchmarks, from a data set's files or a data folder."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from services.annotation import exporting
from services.annotation.stores.opening import AnnotationStores, open_annotation_stores
from services.app.parts import joined
from services.cli.console import console
from services.cli.context import Context
from services.cli.datasets import coco_opener, via_opener, voc_opener
from services.cli.logs import log_to_file
from services.contracts.errors import InvalidImage, InvalidRecord
from services.contracts.events import Annotation
from services.domain.ports.blobs import BlobStore
from services.embedder.training.labelled import LabelledFrame, LabelledObject, LabelRule, Looked
from services.formats.frames import on_its_picture
from services.formats.items import Dataset, FrameItem, Rejection
from services.formats.writers.frames import ExportFrame
from services.runtime.images import ImageLimits
from services.runtime.settings import Settings

LookedAt = Annotated[
    Looked,
    typer.Option("--of", help="Use annotated objects, or whole frames."),
]
Label = Annotated[
    LabelRule,
    typer.Option("--label", help="The object category that becomes a whole frame's label."),
]
Chosen = Callable[[AnnotationStores, Settings], Awaitable[list[ExportFrame]]]


@dataclass(frozen=True)
class Source:
    """Where annotated frames come from: without options, from the data folder.

    Raises
    ------
    typer.BadParameter
        Several data sets are named, or images without annotations, or the reverse.
    """

    images: Annotated[
        Path | None,
        typer.Option(
            "--images", help="Folder of the images.", exists=True, file_okay=False, metavar="DIR"
        ),
    ] = None
    coco: Annotated[
        Path | None,
        typer.Option(
            "--coco",
            help="COCO instances; with --images. Without --coco, --voc and --via: the annotated"
            " frames of the data folder.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None
    voc: Annotated[
        Path | None,
        typer.Option(
            "--voc",
            help="Folder of VOC XML files; with --images.",
            exists=True,
            file_okay=False,
            metavar="DIR",
        ),
    ] = None
    via: Annotated[
        Path | None,
        typer.Option(
            "--via",
            help="VIA 2.x JSON; with --images.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None

    def __post_init__(self) -> None:
        given = [path for path in (self.coco, self.voc, self.via) if path is not None]
        if len(given) > 1:
            raise typer.BadParameter("name one data set: --coco, --voc or --via")
        if given and self.images is None:
            raise typer.BadParameter("name the folder of its images", param_hint="--images")
        if self.images is not None and not given:
            raise typer.BadParameter("name its annotations: --coco, --voc or --via")

    @property
    def name(self) -> str:
        """The source's name in tables and model cards."""
        given = self.coco or self.voc or self.via
        return given.stem if given else "data folder"

    def dataset(self) -> Dataset | None:
        """The named data set; None for the data folder."""
        if self.coco:
            return coco_opener(self.coco, self.images)()
        if self.voc:
            return voc_opener(self.voc, self.images)()
        if self.via:
            return via_opener(self.via, self.images)()
        return None


async def labelled_frames(source: Source, context: Context, chosen: Chosen) -> list[LabelledFrame]:
    """The annotated frames of a source, sorted by id.

    Parameters
    ----------
    chosen : selects the frames of a data folder
    """
    settings = context.settings()
    limits = ImageLimits.of(settings)
    dataset = source.dataset()
    if dataset is not None:
        return _of_dataset(dataset.items, limits)
    return await _of_data_folder(context, chosen, limits)


def _of_dataset(items: Iterable[object], limits: ImageLimits) -> list[LabelledFrame]:

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
        console(stderr=True).print(f"[yellow]left out:[/] {reasons}", highlight=False)
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

    objects = tuple(
        LabelledObject(truth.category, truth.bbox)
        for truth in truths
        if not truth.crowd and not truth.ignore
    )
    return LabelledFrame(frame_id, drive_id or frame_id, content, limits, objects)


async def _of_data_folder(
    context: Context, chosen: Chosen, limits: ImageLimits
) -> list[LabelledFrame]:

    settings = context.stored()
    log_to_file(settings, "labelled")
    async with joined(settings) as stack:
        stores = await open_annotation_stores(stack.stores)
        frames = await chosen(stores, settings)
        uris = await exporting.image_uris(stores, frames)
        blobs: BlobStore = stores.blobs
    return [
        _labelled(
            frame.frame_id,
            frame.drive_id,
            partial(blobs.get, uris[frame.frame_id]),
            limits,
            frame.annotations,
        )
        for frame in frames
        if frame.annotations is not None
    ]
