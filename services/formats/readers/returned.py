"""Annotations that tools wrote, matched to frames by file names: of an export, or of a folder."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol, Self, TypeVar

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation, Rle
from services.contracts.identity import Box, DriveId, FrameId, VehicleId
from services.contracts.run_lengths import INVALID_MASK
from services.formats import fields, masks
from services.formats.adjustments import Adjustment
from services.formats.box_units import frame_in_pixels
from services.formats.completeness import is_complete
from services.formats.geometry import Size, upright_box
from services.formats.items import FrameItem, Item, Located, RecordKind, Rejection
from services.formats.json_files import read_json
from services.formats.readers.category_names import category_name
from services.formats.readers.records import Notes, refused_frame, rejection, without
from services.formats.rules import require_same_size

R = TypeVar("R")

_UPLOADED = re.compile(r"[0-9a-f]{8}-(?P<name>.+)")
"""Label Studio prefixes the names of uploaded files with eight digits of a UUID."""
_ROBOFLOW = re.compile(r"(?P<name>.+)_(?:jpe?g|png)\.rf\.[0-9A-Za-z]{16,}", re.IGNORECASE)
"""Roboflow moves the extension into the name, and appends a hash."""
_MIN_CORNERS = 3
RETURNED_BY = VehicleId("annotation-team")
"""Placeholder for the vehicle, which corrections do not contain."""


@dataclass(frozen=True)
class NamedFrame:
    """A frame that a tool's file may be about.

    Attributes
    ----------
    size : width and height, in pixels
    annotations : its ground truth in the export; none in a folder that Gazeloop did not export
    """

    frame_id: FrameId
    size: tuple[int, int]
    annotations: tuple[Annotation, ...] = ()


def stems_of(name: str) -> list[str]:
    """The stem of an image file's name, and the one before a tool renamed the file."""
    stem = Path(name.replace("\\", "/")).stem
    renamed = (form.fullmatch(stem) for form in (_UPLOADED, _ROBOFLOW))
    return [stem, *(found["name"] for found in renamed if found)]


class NamedFrames(Protocol):
    """The frames that a tool's file may be about."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def find(self, name: str) -> NamedFrame | None:
        """The frame with this image file name, whatever its ending; None if there is none."""
        ...

    def of(self, name: str) -> NamedFrame:
        """The frame with this image file name.

        Raises
        ------
        InvalidRecord
            `unknown_image`: there is none.
        """
        ...


@dataclass(frozen=True)
class Manifest:
    """The frames of an export, by the stem of their image's file name.

    Tools add folders, change extensions and copy files; the stem survives, except for Label
    Studio's prefix and Roboflow's suffix.
    """

    frames: dict[str, NamedFrame]

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def read(cls, file: Path) -> "Manifest":
        """The manifest that `gazeloop export` wrote.

        Raises
        ------
        InvalidRecord
            The file is not a manifest.
        """
        content = fields.record(read_json(file), str(file))
        frames = {}
        for name, value in fields.record(content.get("frames"), "frames").items():
            frame = fields.record(value, name)
            frame_id, width, height = (frame.get(key) for key in ("frame_id", "width", "height"))
            if not (isinstance(frame_id, str) and type(width) is int and type(height) is int):
                raise fields.malformed(f"{file}: {name} is not a frame of an export")
            annotations = tuple(
                fields.checked(Annotation, **fields.record(entry, name))
                for entry in frame.get("annotations", ())
            )
            frames[Path(name).stem] = NamedFrame(FrameId(frame_id), (width, height), annotations)
        return cls(frames)

    def find(self, name: str) -> NamedFrame | None:
        """The frame with this image file name; None if it was not sent."""
        stems = stems_of(name)
        return next((self.frames[text] for text in stems if text in self.frames), None)

    def of(self, name: str) -> NamedFrame:
        """The frame with this image file name.

        Raises
        ------
        InvalidRecord
            `unknown_image`: it was not sent.
        """
        sent = self.find(name)
        if sent is None:
            raise InvalidRecord(f"{name!r:.200} was not exported", reason="unknown_image")
        return sent


class DrawnBox(NamedTuple):
    """A box as the tool wrote it.

    Attributes
    ----------
    corners : left, top, right and bottom before rotation, in pixels of the image that the tool
        showed
    degrees : rotation about the box's centre
    outlined : whether it is the box around a polygon
    polygons : `[x1, y1, x2, y2, …]` of each part of the object, of which its mask is drawn
    mask : the object's pixels
    has_keypoints : whether the tool wrote keypoints, which are left out
    """

    label: object
    corners: Box
    degrees: float = 0.0
    crowd: bool = False
    ignore: bool = False
    outlined: bool = False
    polygons: Sequence[object] = ()
    mask: Rle | None = None
    has_keypoints: bool = False

    @classmethod
    def polygon(cls, label: object, points: Iterable[Sequence[float]]) -> Self:
        """A polygon of points, each x and y in pixels: the box around it, and its mask.

        Raises
        ------
        InvalidRecord
            There are fewer than three points, or one is not finite.
        """
        corners = [(float(x), float(y)) for x, y in points]
        outline = [side for corner in corners for side in corner]
        return cls(label, _around(corners), outlined=True, polygons=(outline,))

    @classmethod
    def of_runs(cls, label: object, runs: object, size: Size | None) -> Self:
        """A mask in COCO's run lengths, and the box around it.

        Parameters
        ----------
        size : of the image, if the file has it

        Raises
        ------
        InvalidRecord
            `invalid_mask`, `box_without_area`; `size_mismatch`: it is not of this size.
        """
        shape = masks.from_coco(runs, None)
        if shape is None:
            raise InvalidRecord("a mask without run lengths", reason=INVALID_MASK)
        if size is not None:
            require_same_size(shape.mask, size)
        x, y, width, height = shape.bbox
        return cls(label, (x, y, x + width, y + height), mask=shape.mask)

    @classmethod
    def around(cls, parts: Sequence[Self]) -> Self:
        """One object of several parts: the box around them; their mask, if all are polygons."""
        if len(parts) == 1:
            return parts[0]
        across, down = ([side for part in parts for side in part.corners[at::2]] for at in (0, 1))
        polygons = [outline for part in parts for outline in part.polygons]
        return parts[0]._replace(
            corners=(min(across), min(down), max(across), max(down)),
            outlined=True,
            polygons=polygons if all(part.polygons for part in parts) else (),
        )


class Version(NamedTuple):
    """One annotator's version of one frame, and its refused records."""

    item: FrameItem
    rejected: Sequence[Rejection]


class ReturnedFrame(NamedTuple):
    """The frame that a record is about, with the tool's information about the whole frame.

    Attributes
    ----------
    size : width and height of the image that the tool showed, if the tool records it
    drive_id, tags : where the format has them
    """

    frame_id: FrameId
    size: Size | None
    location: str
    annotated_by: str | None = None
    lead_time_s: float | None = None
    drive_id: DriveId | None = None
    tags: Mapping[str, str] | None = None


def version_of(
    frame: ReturnedFrame, records: Iterable[R], drawn: Callable[[R], DrawnBox | None]
) -> Version:
    """A frame's annotations; not complete if a refused one can hide an object.

    Parameters
    ----------
    records : the annotations as the tool wrote them
    drawn : returns a record's box, or None if it has no shape. Raises InvalidRecord.
    """
    notes = Notes()
    annotations: list[Located[Annotation]] = []
    rejected: list[Rejection] = []
    for at, record in enumerate(records):
        source = Located(record, f"{frame.location}[{at}]")
        try:
            box = drawn(record)
            if box is None:
                notes.adjustments[Adjustment.NO_SHAPE] += 1
            else:
                mask = _mask(box, frame.size, source, notes)
                annotation = _annotation(box, mask, notes.adjustments)
                annotations.append(Located(annotation, source.location))
        except InvalidRecord as exc:
            rejected.append(rejection(exc, source, RecordKind.ANNOTATION))
    item = FrameItem(
        frame_id=frame.frame_id,
        vehicle_id=RETURNED_BY,
        location=frame.location,
        image=None,
        size=frame.size,
        annotations=tuple(annotations),
        complete=is_complete(rejected, annotations),
        annotated_by=frame.annotated_by,
        lead_time_s=frame.lead_time_s,
        drive_id=frame.drive_id,
        tags=frame.tags,
        adjustments=notes.adjustments,
    )
    item = frame_in_pixels(item, rejected)
    return Version(item, [*rejected, *notes.rejected])


def incomplete(version: Version) -> Version:
    """The version, where a record that names no image may be one of its objects."""
    return version._replace(item=replace(version.item, complete=False))


def returned(
    records: Iterable[Located[object]], parse: Callable[[Located[object]], Sequence[Version]]
) -> Iterator[Item]:
    """The frames' versions in the records, and the rejections."""
    for source in records:
        try:
            versions = parse(source)
        except InvalidRecord as exc:
            yield refused_frame(exc, source)
        else:
            for version in versions:
                yield from version.rejected
                yield version.item


def _around(corners: Sequence[tuple[float, float]]) -> Box:
    """Left, top, right and bottom of points."""
    if not all(math.isfinite(side) for point in corners for side in point):
        raise InvalidRecord("a point of the outline is not finite", reason="invalid_box")
    if len(corners) < _MIN_CORNERS:
        raise InvalidRecord(f"{len(corners)} points enclose no object", reason="unsupported_shape")
    across, down = zip(*corners, strict=True)
    return (min(across), min(down), max(across), max(down))


def _mask(box: DrawnBox, size: Size | None, source: Located[R], notes: Notes) -> Rle | None:
    """The object's pixels; without those of polygons that cannot be drawn, the box is kept."""
    if not box.polygons or size is None:
        return box.mask
    shape = without(lambda: masks.from_polygons(box.polygons, size), source, notes.rejected)
    return shape and shape.mask


def _annotation(box: DrawnBox, mask: Rle | None, adjustments: Counter[Adjustment]) -> Annotation:
    """An annotation with the upright box around a drawn one.

    Raises
    ------
    InvalidRecord
        The label is not a category, or the box is invalid or has no area.
    """
    left, top, right, bottom = box.corners
    if left > right or top > bottom:
        adjustments[Adjustment.CORNERS_SORTED] += 1
        left, right = sorted((left, right))
        top, bottom = sorted((top, bottom))
    bbox = fields.box([left, top, right - left, bottom - top])
    if box.degrees % 360:
        bbox = upright_box(bbox, box.degrees)
        adjustments[Adjustment.ROTATED_BOX] += 1
    if box.outlined:
        adjustments[Adjustment.BOX_FROM_POLYGON] += 1
    if box.has_keypoints:
        adjustments[Adjustment.KEYPOINTS_LEFT_OUT] += 1
    category = category_name(box.label)
    return fields.checked(
        Annotation, category=category, bbox=bbox, crowd=box.crowd, ignore=box.ignore, mask=mask
    )
