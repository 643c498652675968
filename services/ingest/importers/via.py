"""VIA 2.x (VGG Image Annotator): a saved project, or its exported annotations.

An image without regions is annotated, and empty. `file_attributes` may carry what COCO's images
may: vehicle_id, drive_id, captured_at, lat, lon, heading.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from services.contracts.errors import Invalid, InvalidRecord
from services.contracts.events import Annotation
from services.contracts.identity import Box, Category, DriveId, VehicleId
from services.ingest import fields, masks
from services.ingest.fields import Record
from services.ingest.importers.folders import image_file
from services.ingest.importers.names import ImageNames
from services.ingest.importers.records import (
    claim,
    hide_nothing,
    parsed,
    rejection,
    whole_frame,
    without,
)
from services.ingest.importers.results import NOT_LOOKED, Results, category_name, named_category
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
from services.runtime.images import ImageLimits, measure

_CATEGORY_ATTRIBUTES = ("category", "class", "label", "name", "type", "object")
_HEADER_LIMITS = ImageLimits(max_bytes=256 * 1024 * 1024, max_pixels=2**31)
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
) -> Dataset:
    """Open a VIA data set.

    Parameters
    ----------
    images : the folder that file names are relative to; none reads no images, and draws no masks
    predictions : COCO results, whose `file_name` or `image_id` is an image's name, stem or number,
        and whose category is a name, or an id that the file itself lists
    dataset : begins every frame id; the file's name without its ending, if not given
    category_attribute : the region attribute that holds the category; if not given, the only one
        there is, or `category`, `class`, `label`, `name`, `type` or `object`
    sent : what was exported; its file names name their frames

    Raises
    ------
    InvalidRecord
        A file cannot be read at all.
    """
    content = read_json(annotations)
    metadata = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    if not isinstance(metadata, dict):
        raise fields.malformed(f"{annotations}: neither a VIA project nor its annotations")
    if _is_via_3(metadata):
        raise InvalidRecord(
            f"{annotations} is a VIA 3 project: export its annotations as COCO, or annotate in"
            " VIA 2",
            reason="unsupported_format",
        )
    rejected: list[Rejection] = []
    files = _files(annotations, metadata, rejected)
    results = None
    if predictions:
        results = Results(
            predictions,
            image_of=ImageNames(files).of,
            known=files,
            categories={},
            category_of=named_category,
        )
        rejected += results.rejected
    name = dataset or annotations.stem
    via = _Via(name, files, images, results, detector, category_attribute, sent)
    return Dataset(name, len(files), via.items(rejected))


def _is_via_3(content: Mapping[str, Any]) -> bool:
    project = content.get("project")
    return isinstance(project, dict) and {"file", "view", "metadata"} <= content.keys()


def _files(
    file: Path, metadata: Mapping[str, Any], rejected: list[Rejection]
) -> dict[str, Located[Record]]:
    seen: set[int | str] = set()

    def parse(source: Located[Record]) -> str:
        name = source.value.get("filename")
        if not isinstance(name, str) or not name:
            raise fields.malformed("the record names no image file")
        fields.quoted(name)
        claim(name, seen)
        return name

    sources = [
        Located(value, f"{file}:{key!r}")
        for key, value in metadata.items()
        if not key.startswith("_via_")
    ]
    found: dict[str, Located[Record]] = {}
    for source in sources:
        for name in parsed([source], parse, rejected, RecordKind.FRAME):
            found[name.value] = Located(source.value, source.location)
    return found


@dataclass(frozen=True)
class _Via:
    name: str
    files: Mapping[str, Located[Record]]
    images: Path | None
    results: Results | None
    detector: Detector | None
    attribute: str | None
    sent: Manifest | None

    def items(self, rejected: list[Rejection]) -> Iterator[Item]:
        yield from rejected
        for name in sorted(self.files, key=fields.quoted):
            yield from self._items_of(name, self.files[name])

    def _items_of(self, name: str, source: Located[Record]) -> Iterator[Item]:
        rejected: list[Rejection] = []
        try:
            frame = self._frame(name, source, rejected)
        except InvalidRecord as exc:
            records = self.results.records(name) if self.results else []
            whole = whole_frame(source.value, predictions=records)
            yield replace(rejection(exc, Located(whole, source.location)), whole_frame=True)
        else:
            yield from rejected
            yield frame

    def _frame(self, name: str, source: Located[Record], rejected: list[Rejection]) -> FrameItem:
        said = _said(source.value)
        image = image_file(self.images, name) if self.images else None
        regions = _regions(source)
        size = _size(image) if image and any(map(_is_polygon, regions)) else None
        drive, refused = said.get("drive_id"), list[Rejection]()
        annotation = partial(self._annotation, size, rejected)
        annotations = tuple(parsed(regions, annotation, refused, RecordKind.ANNOTATION))
        rejected += refused
        found = self.results.detections(name, size, rejected) if self.results else NOT_LOOKED
        return FrameItem(
            frame_id=self.sent.of(name).frame_id if self.sent else fields.frame_id(self.name, name),
            vehicle_id=VehicleId(fields.quoted(str(said.get("vehicle_id", self.name)))),
            location=source.location,
            image=image,
            drive_id=None if drive is None else DriveId(fields.quoted(str(drive))),
            captured_at=fields.captured_at(said) or UNKNOWN_TIME,
            position=fields.position(said),
            size=size,
            detector=self.detector,
            detections=found.detections,
            detections_complete=found.complete,
            annotations=annotations,
            complete=hide_nothing(refused),
            adjustments=found.adjustments,
        )

    def _annotation(
        self,
        size: tuple[int, int] | None,
        rejected: list[Rejection],
        source: Located[Record],
    ) -> Annotation:
        shape = fields.record(source.value.get("shape_attributes"), "shape_attributes")
        category = _category(source.value.get("region_attributes"), self.attribute)
        match shape.get("name"):
            case "rect":
                bbox = fields.box([shape.get(side) for side in ("x", "y", "width", "height")])
                return fields.checked(Annotation, category=category, bbox=bbox)
            case "polygon":
                outline = _outline(shape)
                bbox = _around(outline)
                drawn = without(lambda: _drawn(outline, size), source, rejected)
                return fields.checked(
                    Annotation,
                    category=category,
                    bbox=bbox,
                    area=drawn.area if drawn else _area(outline),
                    mask=drawn and drawn.mask,
                )
            case name:
                raise InvalidRecord(f"a {name!r:.40} has no box", reason="unsupported_shape")


def _said(record: Record) -> dict[str, Any]:
    """`file_attributes`, which VIA keeps as texts: numbers as numbers, empty ones left out."""
    given = record.get("file_attributes") or {}
    said = {name: value for name, value in fields.record(given, "file_attributes").items() if value}
    for name in _NUMBERS:
        if isinstance(said.get(name), str):
            try:
                said[name] = float(said[name])
            except ValueError as exc:
                detail = f"{name} {said[name]!r:.40} is not a number"
                raise InvalidRecord(detail, reason="invalid_position") from exc
    return said


def _regions(source: Located[Record]) -> list[Located[object]]:
    regions = source.value.get("regions") or []
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


def _size(image: Path) -> tuple[int, int] | None:
    """The image's size, which masks need; none for an image that publishing will refuse."""
    try:
        with image.open("rb") as file:
            facts = measure(file.read(_HEADER_LIMITS.max_bytes + 1), _HEADER_LIMITS)
    except (OSError, Invalid):
        return None
    return facts.width, facts.height


def _category(attributes: object, named: str | None) -> Category:
    given = fields.record(attributes, "region_attributes")
    names = [named] if named else [*given] if len(given) == 1 else [*_CATEGORY_ATTRIBUTES]
    value = next((given[name] for name in names if name in given), None)
    if isinstance(value, dict):  # a checkbox: the one that is ticked
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else None
    return category_name(value.strip() if isinstance(value, str) else value)


def _outline(shape: Record) -> list[tuple[float, float]]:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys) or len(xs) < 3:  # noqa: PLR2004  # a polygon
        raise fields.malformed("a polygon has fewer than three points")
    numbers = [fields.number(each) for each in (*xs, *ys)]
    if None in numbers:
        raise fields.malformed("a polygon's point is not a number")
    points = [each for each in numbers if each is not None]
    if not all(map(math.isfinite, points)):
        raise InvalidRecord("a polygon's point is not finite", reason="box_not_finite")
    return list(zip(points[: len(xs)], points[len(xs) :], strict=True))


def _around(outline: list[tuple[float, float]]) -> Box:
    xs, ys = zip(*outline, strict=True)
    return fields.box([min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)])


def _area(outline: list[tuple[float, float]]) -> float:
    """Gauss's trapezoid formula."""
    following = [*outline[1:], outline[0]]
    corners = zip(outline, following, strict=True)
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in corners)) / 2


def _drawn(outline: list[tuple[float, float]], size: tuple[int, int] | None) -> masks.Shape | None:
    flat = [number for point in outline for number in point]
    return masks.from_polygons([flat], size) if size else None
