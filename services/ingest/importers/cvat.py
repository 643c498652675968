"""CVAT for images 1.1, come back: what our export sent, confirmed, corrected or deleted."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.contracts.errors import InvalidRecord
from services.contracts.events import Annotation
from services.ingest.importers.returned import Manifest, annotation, frame_of, returned
from services.ingest.items import Dataset, FrameItem, Located

_SIDES = ("xtl", "ytl", "xbr", "ybr")
_PLAIN = frozenset({"box", "tag"})


def read_cvat(file: Path, sent: Manifest) -> Dataset:
    """Open CVAT's `annotations.xml`.

    A frame on which a proposal is neither confirmed nor deleted is not finished, and refused.

    Raises
    ------
    InvalidRecord
        A file cannot be read at all.
    """
    images = {f"{file}:{image.get('name')}": image for image in _root(file).findall("image")}
    sources = [Located[object](_text(image), place) for place, image in images.items()]

    def parse(source: Located[object]) -> FrameItem:
        image = images[source.location]
        frame = sent.of(image.get("name", ""))
        for shape in image:
            if shape.tag not in _PLAIN:
                raise InvalidRecord(f"a {shape.tag:.40} has no box", reason="unsupported_shape")
        boxes = [_annotation(box, frame.size) for box in image.findall("box")]
        return frame_of(frame, boxes, source.location)

    return Dataset(file.stem, len(sources), returned(sources, parse))


def _root(file: Path) -> Element:
    try:
        root: Element = fromstring(file.read_bytes(), forbid_dtd=True)
    except (OSError, ParseError, DefusedXmlException, ValueError, LookupError) as exc:
        raise InvalidRecord(f"{file}: {exc}", reason="invalid_xml") from exc
    if root.tag != "annotations":
        raise InvalidRecord(f"{file}: <{root.tag:.40}> is not CVAT's", reason="invalid_xml")
    if root.find("track") is not None and root.find("image") is None:
        raise InvalidRecord(
            f'{file} is in the format "CVAT for video 1.1": export the task as "CVAT for images'
            ' 1.1"',
            reason="unsupported_format",
        )
    return root


def _annotation(box: Element, size: tuple[int, int]) -> Annotation:
    said = {each.get("name"): (each.text or "").strip() for each in box.findall("attribute")}
    if said.get("proposal") == "true":
        raise InvalidRecord("a proposal is not decided yet", reason="unfinished_task")
    try:
        left, top, right, bottom = (float(box.get(side, "")) for side in _SIDES)
    except ValueError:
        raise InvalidRecord("a corner is no number", reason="invalid_box") from None
    return annotation(
        box.get("label"),
        (left, top, right, bottom),
        size,
        crowd=said.get("crowd") == "true",
        ignore=said.get("ignore") == "true",
    )


def _text(element: Element) -> str:
    text: str = tostring(element, encoding="unicode")
    return text
