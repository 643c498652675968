"""Read CVAT for images 1.1: the exported shapes as annotators confirmed, corrected or deleted."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

from services.contracts.errors import InvalidRecord
from services.contracts.identity import Box
from services.contracts.run_lengths import INVALID_MASK
from services.formats import fields
from services.formats.cvat_masks import CvatMask
from services.formats.fields import Record
from services.formats.geometry import Size
from services.formats.items import Dataset, Located
from services.formats.readers.cvat_shapes import (
    drawn_mask,
    drawn_polygon,
    drawn_rectangle,
    require_decided,
)
from services.formats.readers.returned import (
    DrawnBox,
    NamedFrames,
    ReturnedFrame,
    Version,
    returned,
    version_of,
)
from services.formats.xml_files import parse_xml, xml_bytes

_SIDES = ("xtl", "ytl", "xbr", "ybr")
_MASK_SIDES = ("left", "top", "width", "height")


def read_cvat(file: Path, sent: NamedFrames) -> Dataset:
    """Open CVAT's `annotations.xml`.

    A frame with a proposal that is neither confirmed nor deleted is unfinished, and refused. A
    frame that occurs in several tasks or subsets is yielded once for each.

    Raises
    ------
    InvalidRecord
        A file cannot be read at all.
    """
    images = {f"{file}:{_place(image, at)}": image for at, image in enumerate(_images(file))}
    sources = [Located[object](_text(image), place) for place, image in images.items()]

    def parse(source: Located[object]) -> Sequence[Version]:
        image = images[source.location]
        frame = ReturnedFrame(
            sent.of(image.get("name", "")).frame_id, _size(image), source.location
        )
        shapes = [shape_of(shape) for shape in image]
        require_decided(shape["attributes"] for shape in shapes)
        return [version_of(frame, shapes, partial(drawn_shape, frame.size))]

    return Dataset(file.stem, len(sources), returned(sources, parse))


def shape_of(element: Element) -> Record:
    """One shape: its tag, its XML attributes, and the attributes that the export added."""
    attributes = {
        item.get("name"): (item.text or "").strip() for item in element.findall("attribute")
    }
    return {**element.attrib, "shape": element.tag, "attributes": attributes}


def drawn_shape(size: Size | None, shape: Record) -> DrawnBox | None:
    """The box and the mask of one shape; None for a tag, which is about the whole image.

    Parameters
    ----------
    size : of the image, if the file has it

    Raises
    ------
    InvalidRecord
        The shape has no box, or one of its numbers cannot be read.
    """
    label, attributes = shape.get("label"), shape["attributes"]
    match shape["shape"]:
        case "tag":
            return None
        case "box":
            return drawn_rectangle(label, *_rectangle(shape), attributes)
        case "polygon":
            return drawn_polygon(label, _points(shape), attributes)
        case "mask":
            return drawn_mask(label, _mask(shape), size, attributes)
        case kind:
            raise InvalidRecord(f"a {kind:.40} has no box", reason="unsupported_shape")


def _rectangle(shape: Record) -> tuple[Box, float]:
    """The corners, and the rotation in degrees."""
    try:
        left, top, right, bottom = (float(shape.get(side, "")) for side in _SIDES)
        return (left, top, right, bottom), float(shape.get("rotation", "0"))
    except ValueError:
        raise InvalidRecord("a corner or the rotation is no number", reason="invalid_box") from None


def _points(shape: Record) -> list[float]:
    try:
        points = [point.split(",") for point in shape.get("points", "").split(";")]
        return [float(number) for x, y in points for number in (x, y)]
    except ValueError:
        raise InvalidRecord("a point is not two numbers", reason="invalid_box") from None


def _mask(shape: Record) -> CvatMask:
    try:
        runs = tuple(map(int, shape.get("rle", "").split(",")))
        return CvatMask(runs, *(int(shape.get(side, "")) for side in _MASK_SIDES))
    except ValueError:
        detail = "the run lengths or a side of a mask are no whole numbers"
        raise InvalidRecord(detail, reason=INVALID_MASK) from None


def _place(image: Element, at: int) -> str:
    """An image's location in the file, by number, because subsets can share file names."""
    subset = image.get("subset")
    return f"{image.get('name')}" + (f" ({subset})" if subset else "") + f" [{at}]"


def _size(image: Element) -> Size | None:
    width, height = fields.side(image.get("width")), fields.side(image.get("height"))
    return None if width is None or height is None else (width, height)


def _images(file: Path) -> list[Element]:
    root = cvat_root(file)
    if is_video(root):
        raise InvalidRecord(
            f'{file} is in the format "CVAT for video 1.1": export the task as "CVAT for images'
            ' 1.1"',
            reason="unsupported_format",
        )
    return root.findall("image")


def is_video(root: Element) -> bool:
    """Whether a file has tracks instead of images."""
    return root.find("track") is not None and root.find("image") is None


def cvat_root(file: Path) -> Element:
    """The file's `<annotations>`.

    Raises
    ------
    InvalidRecord
        The file is unreadable, or is not CVAT's XML.
    """
    content = xml_bytes(file)
    try:
        root = parse_xml(content)
    except InvalidRecord as exc:
        raise InvalidRecord(f"{file}: {exc}", reason=exc.reason) from exc
    if root.tag != "annotations":
        raise InvalidRecord(f"{file}: <{root.tag:.40}> is not CVAT's", reason="invalid_xml")
    return root


def _text(element: Element) -> str:
    text: str = tostring(element, encoding="unicode")
    return text
