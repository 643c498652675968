"""VIA 2.x (VGG Image Annotator): a saved project, or its exported annotations.

An image whose list of regions is empty counts as annotated and empty; one without such a list, as
not annotated. `file_attributes` may have the same fields as COCO's images: vehicle_id, drive_id,
captured_at, lat, lon, heading.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Category, DriveId, VehicleId
from services.formats import fields, masks
from services.formats.completeness import is_complete
from services.formats.fields import Record
from services.formats.geometry import Size, box_around
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
from services.formats.readers.category_names import category_name
from services.formats.readers.detections.registry import OutputReader, read_output
from services.formats.readers.folders import image_file, image_size, plain_name
from services.formats.readers.frame_items import frame_items
from services.formats.readers.records import Notes, parsed, whole_frame, without
from services.formats.readers.results import NOT_LOOKED, Results
from services.formats.readers.returned import Manifest
from services.formats.readers.via3 import is_via3

_CATEGORY_ATTRIBUTES = ("category", "class", "label", "name", "type", "object")
_NUMBERS = ("lat", "lon", "heading")


def read_via(
    annotations: Path,
    *,
    images: Path | None,
    predictions: Path | None = None,
    detector: Detector | None = None,
    dataset: str | None = None,
    category_attribute: str | None = None,
    sent: Manifest | None = None,
    output_of: OutputReader = read_output,
) -> Dataset:
    """Open a VIA data set.

    Parameters
    ----------
    images : the folder that file names are relative to; None reads no images and draws no masks
    predictions : COCO results, whose `file_name` or `image_id` is an image's name, stem or number,
        and whose category is a name, or an id that the file itself lists
    dataset : prefix of every frame id; default: the file's name without extension
    category_attribute : the region attribute that holds the category; default: the only one, or
        `category`, `class`, `label`, `name`, `type` or `object`, in any letter case
    sent : the export's manifest; maps file names to frames
    output_of : reads the predictions, in any format

    Raises
    ------
    InvalidRecord
        A file is unreadable.
    """
    rejected: list[Rejection] = []
    files = _files(annotations, _metadata(annotations), rejected)
    results = None
    if predictions:
        results = Results.by_name(output_of(predictions), files)
        rejected += results.rejected
    name = dataset or annotations.stem
    via = _Via(name, files, images, results, detector, category_attribute, sent)
    return Dataset(name, len(files), via.items(rejected))


def _metadata(file: Path) -> dict[str, Any]:
    """The records of a VIA 2 project, or of its exported annotations, by image."""
    content = read_json(file)
    metadata = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    if not isinstance(metadata, dict):
        raise fields.malformed(f"{file}: neither a VIA project nor its annotations")
    if is_via3(metadata):
        raise InvalidRecord(
            f"{file} is a VIA 3 project: read its folder with `gazeloop mine auto` or"
            " `gazeloop ingest auto`",
            reason="unsupported_format",
        )
    return metadata


@dataclass(frozen=True)
class _Image:
    """An image's record; `copies` are later records of the same file name, which are refused."""

    source: Located[Record]
    copies: list[Record] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether this record has all regions of its copies."""
        regions = [region.value for region in _regions(self.source)]
        again = (Located(copy, self.source.location) for copy in self.copies)
        return all(region.value in regions for copy in again for region in _regions(copy))


def _files(file: Path, metadata: Mapping[str, Any], rejected: list[Rejection]) -> dict[str, _Image]:
    found: dict[str, _Image] = {}
    spellings: dict[str, str] = {}

    def add(source: Located[Record]) -> None:
        name = source.value.get("filename")
        if not isinstance(name, str) or not name:
            raise fields.malformed("the record names no image file")
        fields.quoted(name)
        first = spellings.setdefault(plain_name(None, name), name)
        if first in found:
            found[first].copies.append(source.value)
            raise InvalidRecord(f"file {name!r:.100} came before", reason="duplicate_id")
        found[name] = _Image(source)

    sources = [
        Located(value, f"{file}:{key!r}")
        for key, value in metadata.items()
        if not key.startswith("_via_")
    ]
    parsed(sources, add, rejected, RecordKind.FRAME)
    return found


@dataclass(frozen=True)
class _Via:
    name: str
    files: Mapping[str, _Image]
    images: Path | None
    results: Results | None
    detector: Detector | None
    attribute: str | None
    sent: Manifest | None

    def items(self, rejected: list[Rejection]) -> Iterator[Item]:
        yield from rejected
        for name in sorted(self.files, key=fields.quoted):
            image = self.files[name]
            yield from frame_items(
                partial(self._frame, name, image), partial(self._whole, name, image)
            )

    def _whole(self, name: str, image: _Image) -> Located[object]:
        """The image with everything that depends on it."""
        records = self.results.records(name) if self.results else []
        whole = whole_frame(image.source.value, predictions=records)
        return Located(whole, image.source.location)

    def _frame(self, name: str, image: _Image, notes: Notes) -> FrameItem:
        source = image.source
        attributes = _file_attributes(source.value)
        file = image_file(self.images, name) if self.images else None
        regions = _regions(source)
        size = image_size(file) if file and any(map(_is_polygon, regions)) else None
        drive, refused = attributes.get("drive_id"), list[Rejection]()
        annotation = partial(self._annotation, size, notes)
        annotations = tuple(parsed(regions, annotation, refused, RecordKind.ANNOTATION))
        notes.rejected += refused
        found = self.results.found(name, size, notes, file) if self.results else NOT_LOOKED
        return FrameItem(
            frame_id=self.sent.of(name).frame_id if self.sent else fields.frame_id(self.name, name),
            vehicle_id=VehicleId(fields.quoted(str(attributes.get("vehicle_id", self.name)))),
            location=source.location,
            image=file,
            drive_id=None if drive is None else DriveId(fields.quoted(str(drive))),
            captured_at=fields.captured_at(attributes) or UNKNOWN_TIME,
            position=fields.position(attributes),
            detector=self.detector,
            detections=found.detections,
            detections_size=found.size,
            detections_complete=found.complete,
            annotations=annotations if _is_annotated(source.value) else None,
            complete=is_complete(refused, annotations) and image.is_whole,
            adjustments=notes.adjustments,
        )

    def _annotation(self, size: Size | None, notes: Notes, source: Located[Record]) -> Annotation:
        shape = fields.record(source.value.get("shape_attributes"), "shape_attributes")
        category = _category(source.value.get("region_attributes"), self.attribute)
        match shape.get("name"):
            case "rect":
                sides = [shape.get(side) for side in ("x", "y", "width", "height")]
                bbox = fields.sorted_box(sides, notes.adjustments)
                return fields.checked(Annotation, category=category, bbox=bbox)
            case "polygon":
                outline = _outline(shape)
                bbox = fields.box(box_around(outline))
                drawn = without(lambda: _drawn(outline, size), source, notes.rejected)
                return fields.checked(
                    Annotation,
                    category=category,
                    bbox=bbox,
                    area=drawn.area if drawn else _area(outline),
                    mask=drawn and drawn.mask,
                )
            case name:
                raise InvalidRecord(f"a {name!r:.40} has no box", reason="unsupported_shape")


def _file_attributes(record: Record) -> dict[str, Any]:
    """`file_attributes`, which VIA stores as strings: numbers parsed, empty values left out."""
    declared = record.get("file_attributes") or {}
    attributes = {
        name: value for name, value in fields.record(declared, "file_attributes").items() if value
    }
    for name in _NUMBERS:
        if isinstance(attributes.get(name), str):
            try:
                attributes[name] = float(attributes[name])
            except ValueError as exc:
                detail = f"{name} {attributes[name]!r:.40} is not a number"
                raise InvalidRecord(detail, reason="invalid_position") from exc
    return attributes


def _is_annotated(record: Record) -> bool:
    return record.get("regions") is not None


def _regions(source: Located[Record]) -> list[Located[object]]:
    regions = source.value["regions"] if _is_annotated(source.value) else []
    if isinstance(regions, dict):  # VIA 1 numbers them
        regions = list(regions.values())
    if not isinstance(regions, list):
        raise fields.malformed("regions is not a list")
    return [
        Located(region, f"{source.location}:regions[{at}]") for at, region in enumerate(regions)
    ]


def _is_polygon(region: Located[object]) -> bool:
    value = region.value
    shape = value.get("shape_attributes") if isinstance(value, dict) else None
    return isinstance(shape, dict) and shape.get("name") == "polygon"


def _category(attributes: object, named: str | None) -> Category:
    values = fields.record(attributes, "region_attributes")
    found = _attribute(values, named)
    if found is None:
        problem = f"{named!r:.40} is not" if named else "none of them is known to be the category"
        raise InvalidRecord(
            f"the region's attributes are {', '.join(map(repr, values)) or 'none'}; {problem}: name"
            " the one that holds the category with --category-attribute",
            reason="unknown_category",
        )
    value = values[found]
    if isinstance(value, dict):  # a checkbox: the one that is ticked
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else None
    return category_name(value.strip() if isinstance(value, str) else value)


def _attribute(values: Record, named: str | None) -> str | None:
    """The attribute that holds the category: the named one, the only one, or a usual name."""
    if named is not None:
        return named if named in values else None
    if len(values) == 1:
        return next(iter(values))
    lower = {name.lower(): name for name in reversed([*values])}
    return next((lower[name] for name in _CATEGORY_ATTRIBUTES if name in lower), None)


def _outline(shape: Record) -> list[tuple[float, float]]:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys) or len(xs) < 3:  # noqa: PLR2004  # a polygon
        raise fields.malformed("a polygon has fewer than three points")
    numbers = [fields.number(item) for item in (*xs, *ys)]
    if None in numbers:
        raise fields.malformed("a polygon's point is not a number")
    points = [number for number in numbers if number is not None]
    if not all(map(math.isfinite, points)):
        raise InvalidRecord("a polygon's point is not finite", reason="box_not_finite")
    return list(zip(points[: len(xs)], points[len(xs) :], strict=True))


def _area(outline: list[tuple[float, float]]) -> float:
    """The area, by the shoelace formula."""
    following = [*outline[1:], outline[0]]
    corners = zip(outline, following, strict=True)
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in corners)) / 2


def _drawn(outline: list[tuple[float, float]], size: tuple[int, int] | None) -> masks.Shape | None:
    flat = [number for point in outline for number in point]
    return masks.from_polygons([flat], size) if size else None
