"""LabelMe: one JSON file per image, with `shapes` (wkentaro/labelme, labelme/label_file.py).

Shapes with one label and one `group_id` are one object, as in its labelme2coco.py.
"""

from collections.abc import Sequence
from pathlib import Path

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Box
from services.formats import fields
from services.formats.fields import Record
from services.formats.items import Dataset, Located
from services.formats.json_files import read_json
from services.formats.readers.folders import visible_files
from services.formats.readers.grouped_shapes import shapes_of_objects
from services.formats.readers.outlines import Point, points_of
from services.formats.readers.records import declared_size
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)

_CORNERS = 2
_WITH_BOX = ("rectangle", "polygon", "circle")  # a tuple compares values of any type


def is_labelme(content: object) -> bool:
    """Whether a JSON file is LabelMe's."""
    return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()


def read_labelme(folder: Path, sent: NamedFrames) -> Dataset:
    """Open a folder of LabelMe's files, or one of them."""
    files = [folder] if folder.is_file() else visible_files(folder, [".json"])
    sources = [Located[object](file, str(file)) for file in files]

    def parse(source: Located[object]) -> Sequence[Version]:
        file = Path(source.location)
        content = read_json(file)
        if not is_labelme(content):
            raise InvalidRecord("it has no shapes and imagePath", reason="unsupported_format")
        shapes = content["shapes"]
        if not isinstance(shapes, list):
            raise fields.malformed("shapes is not a list")
        # `imagePath` may be a path of another machine, or that of a copied file.
        near = file.relative_to(folder) if folder.is_dir() else Path(file.name)
        found = sent.find(str(near)) or sent.of(str(content["imagePath"]))
        sides = {"width": content.get("imageWidth"), "height": content.get("imageHeight")}
        frame = ReturnedFrame(found.frame_id, declared_size(sides), source.location)
        return [version_of(frame, shapes_of_objects(shapes, _object_of), _drawn)]

    return Dataset(folder.name, len(files), returned(sources, parse))


def _object_of(shape: object) -> tuple[str, str] | None:
    """What the shapes of one object have in common, as in labelme2coco: label and `group_id`."""
    found = shape if isinstance(shape, dict) else {}
    if found.get("group_id") is None or _kind(found) not in _WITH_BOX:
        return None
    return repr(found.get("label")), repr(found["group_id"])


def _drawn(parts: Sequence[object]) -> DrawnBox:
    return DrawnBox.around([_shape(part) for part in parts])


def _kind(shape: Record) -> object:
    return shape.get("shape_type", "polygon")


def _shape(item: object) -> DrawnBox:
    shape = fields.record(item, "a shape")
    kind = _kind(shape)
    points = points_of(shape.get("points"))
    if kind == "rectangle" and len(points) == _CORNERS:
        (left, top), (right, bottom) = points
        return DrawnBox(shape.get("label"), (left, top, right, bottom))
    if kind == "polygon":
        return DrawnBox.polygon(shape.get("label"), points)
    if kind == "circle" and len(points) == _CORNERS:
        return DrawnBox(shape.get("label"), _around_circle(points), outlined=True)
    raise InvalidRecord(f"a {kind!r:.40} has no box", reason="unsupported_shape")


def _around_circle(points: Sequence[Point]) -> Box:
    """The box around a circle, given by its centre and a point on it."""
    (x, y), (across, down) = points
    radius = ((across - x) ** 2 + (down - y) ** 2) ** 0.5
    return (x - radius, y - radius, x + radius, y + radius)
