"""COCO: an instances file, and a detector's results file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Box, Category, DriveId, FrameId, VehicleId
from services.formats import fields
from services.formats.adjustments import Adjustment
from services.formats.box_units import require_sides
from services.formats.completeness import cannot_be_object, is_emptied
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import (
    UNKNOWN_TIME,
    Dataset,
    Detector,
    FrameItem,
    Item,
    Located,
    RecordKind,
    Rejection,
)
from services.formats.json_files import read_json
from services.formats.readers.category_names import Categories, categories_of, listed_category
from services.formats.readers.coco_images import ListedImage, listed_images
from services.formats.readers.detections.registry import OutputReader, read_output
from services.formats.readers.folders import image_file, image_size
from services.formats.readers.frame_items import frame_items
from services.formats.readers.image_names import ImageNames, ImageReferences
from services.formats.readers.records import (
    Groups,
    ImageKey,
    Notes,
    by_image,
    declared_size,
    located,
    may_be_of_any,
    parsed,
    refused_frame,
    whole_frame,
    without,
)
from services.formats.readers.results import NOT_LOOKED, Found, Results
from services.formats.readers.returned import Manifest
from services.formats.readers.shapes import annotated_shape
from services.formats.readers.traits import tags, vector

_Place = tuple[Category, Box]


def read_coco(
    ground_truth: Path,
    *,
    images: Path | None,
    predictions: Path | None = None,
    detector: Detector | None = None,
    dataset: str | None = None,
    sent: Manifest | None = None,
    output_of: OutputReader = read_output,
) -> Dataset:
    """Open a COCO data set. A given detector counts as run on every listed image.

    Parameters
    ----------
    images : the folder that `file_name` is relative to; None reads no images
    dataset : prefix of every frame id; default: the ground truth's file name without extension
    sent : the export's manifest; maps file names to frames where nothing else does
    output_of : reads the predictions, in any format

    Raises
    ------
    InvalidRecord
        A file is unreadable, or no result matches a listed image and category.
    """
    content = read_json(ground_truth)
    if not isinstance(content, dict):
        raise fields.malformed(f"{ground_truth}: not an object with images and annotations")
    name = dataset or ground_truth.stem
    rejected: list[Rejection] = []
    frame_id_of = partial(_frame_id, dataset=name, sent=sent)
    listed = listed_images(
        ground_truth,
        content.get("images"),
        frame_id_of,
        images,
        rejected,
        versions=sent is not None,
    )
    categories = _categories(ground_truth, content, rejected)
    ids = {key for image in listed.values() for key in (image.key, *(c.key for c in image.copies))}
    names = ImageNames({key: image.file_name for key, image in listed.items()})
    sizes = _sizes(listed)
    truths = None
    if "annotations" in content:
        truths = _Truths.of(ground_truth, content["annotations"], ids, names, categories, rejected)
        require_sides(ground_truth, truths.groups, sizes)
    results = None
    if predictions:
        results = Results(output_of(predictions), ids=ids, names=names, categories=categories)
        results.require_sides(sizes)
        rejected += results.rejected
    opened = _Coco(name, images, listed, truths, results, detector)
    return Dataset(name, len(ids), opened.items(rejected))


def _sizes(listed: Mapping[ImageKey, ListedImage]) -> dict[ImageKey, Size]:
    declared = {key: declared_size(image.source.value) for key, image in listed.items()}
    return {key: size for key, size in declared.items() if size is not None}


def _categories(file: Path, content: Mapping[str, Any], rejected: list[Rejection]) -> Categories:
    categories = categories_of(file, content.get("categories", []), rejected)
    if content.get("annotations") and not categories:
        raise InvalidRecord(
            f"{file} lists no categories, so that no annotation has a name: export it with"
            " `categories`",
            reason="unknown_category",
        )
    return categories


def _frame_id(record: Record, key: ImageKey, *, dataset: str, sent: Manifest | None) -> FrameId:
    raw_id = record.get("frame_id")
    if raw_id is None:
        if sent is not None:
            return sent.of(str(record.get("file_name"))).frame_id
        return fields.frame_id(dataset, key)
    frame_id = fields.own_frame_id(raw_id)
    if frame_id is None:
        raise fields.malformed(f"frame_id {raw_id!r:.60} is not an id")
    return frame_id


@dataclass(frozen=True)
class _Truths:
    """The annotations, in groups by image."""

    groups: Groups
    references: ImageReferences
    others_may_be_of_any: bool
    categories: Categories

    @classmethod
    def of(  # noqa: PLR0917  # a file, and what its records refer to
        cls,
        file: Path,
        values: object,
        ids: set[ImageKey],
        names: ImageNames,
        categories: Categories,
        rejected: list[Rejection],
    ) -> "_Truths":
        sources = located(file, "annotations", values)
        references = ImageReferences(ids, names, sources)
        refused: list[Rejection] = []
        groups = by_image(sources, references.of, refused, RecordKind.ANNOTATION)
        if sources and names and not groups:
            # Otherwise every image would count as annotated and empty, every detection as wrong.
            raise InvalidRecord(
                f"{file}: none of {len(sources):,} annotations is of an image that the file lists;"
                f" the first: {refused[0].detail}. Give them the ids of its `images`",
                reason=refused[0].reason,
            )
        rejected += refused
        return cls(groups, references, may_be_of_any(refused), categories)

    def records(self, image: ListedImage) -> list[Located[Record]]:
        return self.groups.get(image.key, [])

    def read(
        self, image: ListedImage, size: Size | None, notes: Notes
    ) -> tuple[tuple[Located[Annotation], ...], bool]:
        """The image's annotations, and whether none of the refused ones can hide an object."""
        sources, refused = self.records(image), list[Rejection]()
        parse = partial(self._annotation, size, notes)
        found = tuple(parsed(sources, parse, refused, RecordKind.ANNOTATION))
        notes.rejected += refused
        notes.adjustments.update(self.references.adjustments.get(image.key, {}))
        places = {_place(part.value) for part in found}
        at = {source.location: source for source in sources}
        left = [at[item.location] for item in refused]
        left += [source for copy in image.copies for source in self.records(copy)]
        unsure = self.others_may_be_of_any or image.key in self.references.ambiguous
        unsure |= is_emptied(refused, found)
        complete = not unsure and all(self._adds_no_object(source, size, places) for source in left)
        return found, complete

    def _annotation(self, size: Size | None, notes: Notes, source: Located[Record]) -> Annotation:
        # As in pycocotools, whose evaluation overwrites `ignore` with `iscrowd`.
        category = listed_category(source.value, self.categories, notes.adjustments)
        bbox, mask = annotated_shape(source, size, notes)
        return fields.checked(
            Annotation,
            category=category,
            bbox=bbox,
            area=fields.area(source.value.get("area")),
            crowd=fields.crowd(source.value.get("iscrowd")),
            ignore=_is_ignored(source.value),
            mask=mask,
        )

    def _adds_no_object(
        self, source: Located[object], size: Size | None, places: set[_Place]
    ) -> bool:
        """Whether a refused annotation is no object, or repeats an accepted one of its category."""
        try:
            record = fields.record(source.value, "the record")
            scratch = Notes()
            category = listed_category(record, self.categories, scratch.adjustments)
            bbox, _ = annotated_shape(Located(record, source.location), size, scratch)
        except InvalidRecord as exc:
            return cannot_be_object(exc.reason)
        return (category, bbox) in places


def _place(annotation: Annotation) -> _Place:
    return annotation.category, annotation.bbox


def _is_ignored(record: Record) -> bool:
    """Whether `ignore` is set, by Gazeloop's export or by a tool that keeps `attributes`."""
    attributes = record.get("attributes")
    return isinstance(attributes, dict) and attributes.get("ignore") is True


@dataclass(frozen=True)
class _Coco:
    name: str
    folder: Path | None
    images: dict[ImageKey, ListedImage]
    truths: _Truths | None
    results: Results | None
    detector: Detector | None

    def items(self, rejected: list[Rejection]) -> Iterator[Item]:
        yield from rejected
        for image in self.images.values():
            yield from self._items_of(image)

    def _items_of(self, image: ListedImage) -> Iterator[Item]:
        yield from frame_items(partial(self._frame, image), partial(self._whole, image))
        for copy in image.copies:
            detail = (
                f"image {copy.key!r:.60} is the file or frame of image {image.key!r:.60}, which"
                " came before: give all annotations of one file the same image_id"
            )
            yield refused_frame(InvalidRecord(detail, reason="duplicate_id"), self._whole(copy))

    def _whole(self, image: ListedImage) -> Located[object]:
        """The image with everything that depends on it."""
        truths, found = self._records(image)
        whole = whole_frame(image.source.value, annotations=truths, predictions=found)
        return Located(whole, image.source.location)

    def _records(
        self, image: ListedImage
    ) -> tuple[Sequence[Located[Record]], Sequence[Located[Record]]]:
        truths = self.truths.records(image) if self.truths else []
        return truths, self.results.records(image.key) if self.results else []

    def _frame(self, image: ListedImage, notes: Notes) -> FrameItem:
        record = image.source.value
        if image.other_file is not None:
            detail = (
                f"id {image.key!r:.60} is that of {image.file_name!r:.100} and of"
                f" {image.other_file!r:.100}: its annotations may be of either"
            )
            raise InvalidRecord(detail, reason="duplicate_id")
        file = image_file(self.folder, record.get("file_name")) if self.folder else None
        size = declared_size(record)
        known = size or self._read_size(image, file, notes)
        truths, complete = self.truths.read(image, known, notes) if self.truths else (None, True)
        found = self._found(image, known, notes, file)
        drive = record.get("drive_id")
        return FrameItem(
            frame_id=image.frame_id,
            vehicle_id=VehicleId(_id(record.get("vehicle_id", self.name))),
            location=image.source.location,
            image=file,
            drive_id=None if drive is None else DriveId(_id(drive)),
            captured_at=fields.captured_at(record) or UNKNOWN_TIME,
            position=fields.position(record),
            tags=without(partial(tags, record), image.source, notes.rejected),
            vector=without(partial(vector, record), image.source, notes.rejected),
            size=size,
            detector=self.detector,
            detections=found.detections,
            detections_size=found.size,
            detections_complete=found.complete,
            annotations=truths,
            complete=complete,
            adjustments=notes.adjustments,
        )

    def _read_size(self, image: ListedImage, file: Path | None, notes: Notes) -> Size | None:
        """The image's size, if polygons need it to be rasterised."""
        sources = (source for part in self._records(image) for source in part)
        if file is None or not any(_is_polygon(source.value) for source in sources):
            return None
        notes.adjustments[Adjustment.SIZE_READ] += 1
        return image_size(file)

    def _found(
        self, image: ListedImage, size: Size | None, notes: Notes, file: Path | None
    ) -> Found:
        if self.results is None:
            return NOT_LOOKED
        found = self.results.found(image.key, size, notes, file)
        if not any(self.results.records(copy.key) for copy in image.copies):
            return found
        # The detections of the copies are refused, so this image's are incomplete.
        return found._replace(detections=found.detections or None, complete=False)


def _is_polygon(record: Record) -> bool:
    return isinstance(record.get("segmentation"), list) and bool(record["segmentation"])


def _id(value: object) -> str:
    return fields.quoted(str(fields.key(value)))
