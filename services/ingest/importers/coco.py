"""COCO: an instances file, and a detector's results file."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import DriveId, FrameId, VehicleId
from services.ingest import fields
from services.ingest.fields import Record
from services.ingest.importers.folders import image_file
from services.ingest.importers.records import (
    Groups,
    ImageKey,
    by_image,
    claim,
    hide_nothing,
    located,
    parsed,
    rejection,
    whole_frame,
)
from services.ingest.importers.results import (
    NOT_LOOKED,
    Categories,
    Results,
    box_and_mask,
    categories_of,
    listed_category,
)
from services.ingest.importers.returned import Manifest
from services.ingest.items import (
    UNKNOWN_TIME,
    Dataset,
    Detector,
    FrameItem,
    Item,
    Located,
    RecordKind,
    Rejection,
)
from services.ingest.json_files import read_json


def read_coco(
    ground_truth: Path,
    *,
    images: Path | None,
    predictions: Path | None = None,
    detector: Detector | None = None,
    dataset: str | None = None,
    sent: Manifest | None = None,
) -> Dataset:
    """Open a COCO data set. A detector that is given looked at every image that is listed.

    Parameters
    ----------
    images : the folder that `file_name` is relative to; none reads no images
    dataset : begins every frame id; the ground truth's file name without its ending, if not given
    sent : what was exported; its file names name their frames where nothing else does

    Raises
    ------
    InvalidRecord
        A file cannot be read at all.
    """
    content = read_json(ground_truth)
    if not isinstance(content, dict):
        raise fields.malformed(f"{ground_truth}: not an object with images and annotations")
    name = dataset or ground_truth.stem
    rejected: list[Rejection] = []
    frames = _images(ground_truth, content, name, sent, rejected)
    categories = categories_of(ground_truth, content.get("categories", []), rejected)
    annotations = None
    if content.get("annotations") and not categories:
        raise InvalidRecord(
            f"{ground_truth} lists no categories, so that no annotation has a name: export it with"
            " `categories`",
            reason="unknown_category",
        )
    if "annotations" in content:
        sources = located(ground_truth, "annotations", content["annotations"])
        kind = RecordKind.ANNOTATION
        annotations = by_image(sources, _image_of, frames.keys(), rejected, kind)
    results = None
    if predictions:
        results = Results(
            predictions, image_of=_image_of, known=frames.keys(), categories=categories
        )
        rejected += results.rejected
    opened = _Coco(name, images, frames, categories, annotations, results, detector)
    return Dataset(name, len(frames), opened.items(rejected))


@dataclass(frozen=True)
class _Image:
    """An image's record, its frame, and its key in the file."""

    frame_id: FrameId
    key: ImageKey
    source: Located[Record]


def _image_of(record: Record) -> ImageKey:
    return fields.key(record.get("image_id"))


def _images(
    file: Path,
    content: dict[str, Any],
    dataset: str,
    sent: Manifest | None,
    rejected: list[Rejection],
) -> dict[ImageKey, _Image]:
    seen: set[ImageKey] = set()

    def parse(source: Located[Record]) -> _Image:
        key = fields.key(source.value.get("id"))
        image = _Image(_frame_id(source.value, dataset, key, sent), key, source)
        claim(key, seen)
        return image

    sources = located(file, "images", content.get("images"))
    found = parsed(sources, parse, rejected, RecordKind.FRAME)
    images = sorted((each.value for each in found), key=lambda image: image.frame_id)
    return {image.key: image for image in images}


def _frame_id(record: Record, dataset: str, key: ImageKey, sent: Manifest | None) -> FrameId:
    given = record.get("frame_id")
    if given is None:
        if sent is not None:
            return sent.of(str(record.get("file_name"))).frame_id
        return fields.frame_id(dataset, key)
    own = fields.own_frame_id(given)
    if own is None:
        raise fields.malformed(f"frame_id {given!r:.60} is not an id")
    return own


@dataclass(frozen=True)
class _Coco:
    name: str
    folder: Path | None
    images: dict[ImageKey, _Image]
    categories: Categories
    annotations: Groups | None
    results: Results | None
    detector: Detector | None

    def items(self, rejected: list[Rejection]) -> Iterator[Item]:
        yield from rejected
        for image in self.images.values():
            yield from self._items_of(image)

    def _items_of(self, image: _Image) -> Iterator[Item]:
        annotations = [] if self.annotations is None else self.annotations.get(image.key, [])
        records = self.results.records(image.key) if self.results else []
        rejected: list[Rejection] = []
        try:
            frame = self._frame(image, annotations, rejected)
        except InvalidRecord as exc:
            whole = whole_frame(image.source.value, annotations=annotations, predictions=records)
            refused = rejection(exc, Located(whole, image.source.location))
            yield replace(refused, whole_frame=True)
        else:
            yield from rejected
            yield frame

    def _frame(
        self, image: _Image, annotations: list[Located[Record]], rejected: list[Rejection]
    ) -> FrameItem:
        record = image.source.value
        size = _size(record)
        file = image_file(self.folder, record.get("file_name")) if self.folder else None
        drive = record.get("drive_id")
        truths, refused = None, list[Rejection]()
        if self.annotations is not None:
            parse = partial(self._truth, size, rejected)
            truths = tuple(parsed(annotations, parse, refused, RecordKind.ANNOTATION))
            rejected += refused
        found = self.results.detections(image.key, size, rejected) if self.results else NOT_LOOKED
        return FrameItem(
            frame_id=image.frame_id,
            vehicle_id=VehicleId(_id(record.get("vehicle_id", self.name))),
            location=image.source.location,
            image=file,
            drive_id=None if drive is None else DriveId(_id(drive)),
            captured_at=fields.captured_at(record) or UNKNOWN_TIME,
            position=fields.position(record),
            size=size,
            detector=self.detector,
            detections=found.detections,
            detections_complete=found.complete,
            annotations=truths,
            complete=hide_nothing(refused),
            adjustments=found.adjustments,
        )

    def _truth(
        self, size: tuple[int, int] | None, rejected: list[Rejection], source: Located[Record]
    ) -> Annotation:
        # As pycocotools takes it: its evaluation knows `iscrowd` and overwrites `ignore` with it.
        category = listed_category(source.value, self.categories)
        bbox, mask = box_and_mask(source, size, rejected)
        area, crowd = fields.area(source.value.get("area")), bool(source.value.get("iscrowd"))
        return fields.checked(
            Annotation,
            category=category,
            bbox=bbox,
            area=area,
            crowd=crowd,
            ignore=_is_ignored(source.value),
            mask=mask,
        )


def _is_ignored(record: Record) -> bool:
    """Whether our export, or a tool that keeps `attributes`, says so."""
    attributes = record.get("attributes")
    return isinstance(attributes, dict) and attributes.get("ignore") is True


def _size(record: Record) -> tuple[int, int] | None:
    width, height = record.get("width"), record.get("height")
    if type(width) is int and type(height) is int and 0 < width < 2**17 and 0 < height < 2**17:
        return width, height
    return None


def _id(value: object) -> str:
    return fields.quoted(str(fields.key(value)))
