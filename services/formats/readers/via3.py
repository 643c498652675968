"""VIA 3 (VGG Image Annotator): a project of images, with rectangles, polygons and circles.

`metadata` has the regions, `view` the files that they are on (via-3.x.y, _via_file.js and
_via_shape.js). An image without regions counts as annotated and empty, as in VIA 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, Self

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Box
from services.formats import fields
from services.formats.fields import Record
from services.formats.items import Dataset, Located, RecordKind, Rejection
from services.formats.json_files import read_json
from services.formats.readers.records import Groups, ImageKey, by_image, may_be_of_any
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    incomplete,
    returned,
    version_of,
)

_RECTANGLE, _CIRCLE, _ELLIPSE, _POLYGON = 2, 3, 4, 7
_SHAPES: Final = (_RECTANGLE, _CIRCLE, _ELLIPSE, _POLYGON)
_COORDINATES: Final = {_RECTANGLE: 4, _CIRCLE: 3, _ELLIPSE: 4}
_IMAGE = 2
"""Type of a file."""


def is_via3(content: object) -> bool:
    """Whether a JSON file is a project of VIA 3."""
    return isinstance(content, dict) and {"project", "file", "view", "metadata"} <= content.keys()


def read_via3(file: Path, sent: NamedFrames) -> Dataset:
    """Open a project.

    Raises
    ------
    InvalidRecord
        The file is unreadable, or has no attribute, or several, that can be the category.
    """
    content = fields.record(read_json(file), str(file))
    attribute, options = _category(fields.record(content.get("attribute", {}), "attribute"))
    files = fields.record(content.get("file"), "file")
    views = fields.record(content.get("view"), "view")
    keys = {f"{file}:view {key}": key for key in views}
    sources = [Located[object](views[key], place) for place, key in keys.items()]
    regions = _Regions.of(file, content.get("metadata"), views)
    drawn = partial(_drawn, attribute, options)

    def parse(source: Located[object]) -> Sequence[Version]:
        shown = fields.record(source.value, "the view").get("fid_list")
        if not isinstance(shown, list) or len(shown) != 1:
            raise InvalidRecord("a view of several files", reason="unsupported_format")
        image = fields.record(files.get(str(shown[0])), "the view's file")
        if image.get("type", _IMAGE) != _IMAGE:
            raise InvalidRecord("the file is not an image", reason="unsupported_format")
        frame = ReturnedFrame(sent.of(str(image.get("fname"))).frame_id, None, source.location)
        version = version_of(frame, regions.of_view(keys[source.location]), drawn)
        return [incomplete(version) if regions.others_may_be_of_any else version]

    return Dataset(file.stem, len(sources), chain(regions.rejected, returned(sources, parse)))


@dataclass(frozen=True)
class _Regions:
    """The regions, in groups by view; those of no view are refused."""

    groups: Groups
    rejected: Sequence[Rejection]

    @classmethod
    def of(cls, file: Path, metadata: object, views: Record) -> Self:
        """The regions of a project with these views.

        Raises
        ------
        InvalidRecord
            No region is of one of the views: each image would count as annotated and empty.
        """
        sources = [
            Located(region, f"{file}:metadata {key}")
            for key, region in fields.record(metadata, "metadata").items()
        ]
        rejected: list[Rejection] = []
        groups = by_image(sources, partial(_view_of, views), rejected, RecordKind.ANNOTATION)
        if sources and views and not groups:
            raise InvalidRecord(
                f"{file}: none of {len(sources):,} regions is of a view that the file lists; the"
                f" first: {rejected[0].detail}",
                reason=rejected[0].reason,
            )
        return cls(groups, rejected)

    @property
    def others_may_be_of_any(self) -> bool:
        return may_be_of_any(self.rejected)

    def of_view(self, key: str) -> list[Record]:
        return [region.value for region in self.groups.get(key, [])]


def _view_of(views: Record, region: Record) -> ImageKey:
    view = str(fields.key(region.get("vid")))
    if view not in views:
        raise InvalidRecord(f"no view is listed as {view!r:.60}", reason="unknown_image")
    return view


def _category(attributes: Record) -> tuple[str, Mapping[str, object]]:
    """Id and options of the attribute that holds regions' categories."""
    of_regions = {
        key: fields.record(value, "an attribute")
        for key, value in attributes.items()
        if str(fields.record(value, "an attribute").get("anchor_id", "")).startswith("FILE1_Z0_XY1")
    }
    known = of_regions or {key: fields.record(value, "it") for key, value in attributes.items()}
    if len(known) != 1:
        names = ", ".join(str(value.get("aname")) for value in known.values()) or "none"
        raise InvalidRecord(
            f"one attribute of regions, with their category, is expected; there are: {names}",
            reason="unknown_category",
        )
    ((key, value),) = known.items()
    options = value.get("options")
    return key, options if isinstance(options, dict) else {}


def _drawn(attribute: str, options: Mapping[str, object], region: Record) -> DrawnBox | None:
    xy = region.get("xy")
    if xy == []:  # about the whole image
        return None
    choice = fields.record(region.get("av"), "av").get(attribute)
    label = options.get(str(choice), choice)
    numbers = [fields.number(item) for item in xy] if isinstance(xy, list) else []
    shape, *rest = (float("nan") if item is None else item for item in numbers or [None])
    kind = int(shape) if shape in _SHAPES else 0
    if kind == _POLYGON and len(rest) % 2 == 0:
        return DrawnBox.polygon(label, zip(rest[::2], rest[1::2], strict=True))
    if len(rest) != _COORDINATES.get(kind):
        raise InvalidRecord(f"shape {shape:g} has no box", reason="unsupported_shape")
    return DrawnBox(label, _corners(kind, rest), outlined=kind != _RECTANGLE)


def _corners(kind: int, numbers: Sequence[float]) -> Box:
    x, y, width = numbers[:3]
    if kind == _RECTANGLE:
        return (x, y, x + width, y + numbers[3])
    height = width if kind == _CIRCLE else numbers[3]
    return (x - width, y - height, x + width, y + height)
