"""VIA 3 (VGG Image Annotator): a project of images, with rectangles, polygons and circles.

`metadata` has the regions, `view` the files that they are on (via-3.x.y, _via_file.js and
_via_shape.js). An image without regions counts as annotated and empty, as in VIA 2.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Box
from services.formats import fields
from services.formats.fields import Record
from services.formats.items import Dataset, Located
from services.formats.json_files import read_json
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
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
    regions: dict[str, list[Record]] = defaultdict(list)
    for item in fields.record(content.get("metadata"), "metadata").values():
        region = fields.record(item, "a region")
        regions[str(region.get("vid"))].append(region)
    files = fields.record(content.get("file"), "file")
    sources = [
        Located[object](view, f"{file}:view {key}")
        for key, view in fields.record(content.get("view"), "view").items()
    ]
    drawn = partial(_drawn, attribute, options)

    def parse(source: Located[object]) -> Sequence[Version]:
        shown = fields.record(source.value, "the view").get("fid_list")
        if not isinstance(shown, list) or len(shown) != 1:
            raise InvalidRecord("a view of several files", reason="unsupported_format")
        image = fields.record(files.get(str(shown[0])), "the view's file")
        if image.get("type", _IMAGE) != _IMAGE:
            raise InvalidRecord("the file is not an image", reason="unsupported_format")
        frame = ReturnedFrame(sent.of(str(image.get("fname"))).frame_id, None, source.location)
        found = regions[source.location.rpartition(" ")[2]]
        # Metadata without coordinates is about the whole image.
        return [version_of(frame, [item for item in found if item.get("xy")], drawn)]

    return Dataset(file.stem, len(sources), returned(sources, parse))


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


def _drawn(attribute: str, options: Mapping[str, object], value: object) -> DrawnBox:
    region = fields.record(value, "a region")
    choice = fields.record(region.get("av"), "av").get(attribute)
    label = options.get(str(choice), choice)
    xy = region["xy"]
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
